/**
 * Two organizations, the first with three projects and its people, for the tests of which secret a reference means. `come` says
 * in one word what a reference comes to; `ways` asks using, checking and explaining alike, which must agree.
 */
import { expect } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { SecretPolicyInput } from "../../../protocol/secret-policy.ts";
import { saveStep } from "../../../runs/steps.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject } from "../../helpers/vault.ts";

/** Who asks, beside the reference itself. */
export interface Asking {
  readonly stepId?: string | undefined;
  readonly stepVersion?: number | undefined;
  readonly now?: Date | undefined;
}

export interface SecretsWorld extends Temporary {
  readonly vault: Vault;
  readonly organization: { readonly organizationId: string };
  readonly foreign: { readonly organizationId: string };
  /** Of the organization: two, and one that nothing is granted to. */
  readonly projects: readonly [string, string, string];
  readonly foreignProject: string;
  as(personId: string): Vault;
  set(
    place: Place,
    name: string,
    value: string,
    more?: { access?: "all" | string[]; policy?: SecretPolicyInput },
  ): Promise<number>;
  /** The value that a run gets, or the code of its error. */
  come(projectId: string, name: string, asking?: Asking): Promise<string>;
  /** The same, once checking and explaining were seen to say so too. */
  ways(projectId: string, name: string, asking?: Asking): Promise<string>;
  /** Changes rows past Stepvault; it must change some. */
  sql(text: string, ...values: unknown[]): Promise<void>;
  /** The project that holds the organization's own secrets, which only the database knows. */
  hidden(): Promise<string>;
  saveStep(projectId: string, by?: { kind: "system" | "person" | "key"; id: string }, id?: string): Promise<string>;
}

const people = [
  ["owner", "owner"],
  ["admin", "admin"],
  ["editor", "member"],
  ["builder", "member"],
  ["viewer", "member"],
] as const;

export async function openSecretsWorld(): Promise<SecretsWorld> {
  const temporary = await openTemporary();
  const { database, config } = temporary;
  const vault = await openVault(database, config);
  const organization = { organizationId: (await createOrganization(vault, "Acme")).id };
  const foreign = { organizationId: (await createOrganization(vault, "Other")).id };
  const project = async (name: string): Promise<string> =>
    (await createProject(vault, organization.organizationId, name)).id;
  const projects = [await project("Support"), await project("Sales"), await project("Spare")] as const;
  const foreignProject = (await createProject(vault, foreign.organizationId, "Theirs")).id;
  for (const [personId, role] of people)
    await vault.tenancy.setOrganizationMember({ ...organization, personId, name: personId, role });
  const [projectId] = projects;
  await vault.tenancy.setProjectMember({ projectId, personId: "editor", role: "editor" });
  await vault.tenancy.setProjectMember({ projectId, personId: "builder", role: "member", canCreateAssets: true });
  await vault.tenancy.setProjectMember({ projectId, personId: "viewer", role: "viewer" });

  const come: SecretsWorld["come"] = async (id, name, asking = {}) =>
    await vault.secrets.use({ projectId: id, references: [{ name }], runId: createId(), ...asking }).then(
      ([value]) => value!.expose(),
      (error: { code: string }) => error.code,
    );
  return {
    ...temporary,
    vault,
    organization,
    foreign,
    projects,
    foreignProject,
    as: (id) => vault.as({ kind: "person", id }),
    set: async (place, name, value, more) => await vault.secrets.set({ place, name, value, ...more }),
    come,
    async ways(id, name, asking = {}) {
      const used = await come(id, name, asking);
      const { failures, summary } = await vault.secrets.check({ projectId: id, references: [{ name }], ...asking });
      const { winner, candidates } = await vault.secrets.explain({ projectId: id, name, ...asking });
      expect(candidates.filter(({ state }) => state === "in force")).toHaveLength(winner === undefined ? 0 : 1);
      if (!used.startsWith("ERR_")) expect([failures, summary, winner]).toEqual([[], "", expect.anything()]);
      else expect([failures.map(({ code }) => code), winner]).toEqual([[used], undefined]);
      return used;
    },
    async sql(text, ...values) {
      expect((await database.query(text, values)).rowCount).toBeGreaterThan(0);
    },
    async hidden() {
      const { rows } = await database.query<{ id: string }>(
        "select id from projects where organization_id = $1 and shared",
        [organization.organizationId],
      );
      return rows[0]!.id;
    },
    saveStep: async (id, by, stepId) =>
      (
        await saveStep(database, {
          projectId: id,
          id: stepId,
          name: "A step",
          step: { language: "javascript", code: "return 1" },
          by,
        })
      ).id,
    async dispose() {
      vault.close();
      await temporary.dispose();
    },
  };
}
