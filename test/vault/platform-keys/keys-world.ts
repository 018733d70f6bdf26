/**
 * An organization with two projects, its people and their rights to platform keys, beside another organization: for the
 * tests of keys. Time stands where a test puts it.
 */
import { expect } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { type Actor, operator } from "../../../vault/tenancy/actor.ts";
import { type CheckedKey, checkKey, type PresentedKey } from "../../../vault/platform-keys/key-check.ts";
import { type IssuedKey, type KeyIssuer, createProjectKey } from "../../../vault/platform-keys/keys.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import type { ActContext } from "../../../vault/audit/perform.ts";
import { createOrganization, createProject } from "../../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

export const pepper = { version: 1, key: Buffer.alloc(32, 1) };
export const issuer: KeyIssuer = { region: "eu", pepper };
export const now = new Date("2026-11-21T12:00:30.000Z");
export const later = (days: number): Date => new Date(now.getTime() + days * 86_400_000);
const person = (id: string): Actor => ({ kind: "person", id });

export interface World extends Temporary {
  readonly organizationId: string;
  readonly projectId: string;
  readonly otherProjectId: string;
  readonly foreignOrganizationId: string;
  readonly foreignProjectId: string;
  /** The context of a person by their id, or of another actor; the operator without either. */
  as(actor?: string | Actor): ActContext;
  check(key: string, more?: Partial<PresentedKey>): Promise<CheckedKey>;
  /** What a check comes to: `ok` or the code of the refusal. */
  answer(key: string, more?: Partial<PresentedKey>): Promise<string>;
  projectKey(more?: Partial<Parameters<typeof createProjectKey>[1]>): Promise<IssuedKey>;
  addStep(projectId: string): Promise<string>;
}

export async function openWorld(): Promise<World> {
  const temporary = await openTemporary();
  const { database } = temporary;
  const organizationId = (await createOrganization(database, "Acme")).id;
  const foreignOrganizationId = (await createOrganization(database, "Other")).id;
  const projectId = (await createProject(database, organizationId, "Support")).id;
  const otherProjectId = (await createProject(database, organizationId, "Sales")).id;
  const foreignProjectId = (await createProject(database, foreignOrganizationId, "Theirs")).id;
  for (const [personId, role] of [
    ["owner", "owner"],
    ["admin", "admin"],
    ...["outsider", "editor", "builder", "viewer"].map((id) => [id, "member"] as const),
  ] as const) {
    await setOrganizationMember(database, { organizationId, personId, name: personId, role });
  }
  await setProjectMember(database, { projectId, personId: "editor", role: "editor" });
  await setProjectMember(database, { projectId, personId: "builder", role: "member", canCreateAssets: true });
  await setProjectMember(database, { projectId, personId: "viewer", role: "viewer" });

  const as = (actor: string | Actor = operator): ActContext => ({
    database,
    actor: typeof actor === "string" ? person(actor) : actor,
    withAuditKey: async (_client, _organizationId, work) => await work(Buffer.alloc(32, 7)),
  });
  const check = async (key: string, more: Partial<PresentedKey> = {}): Promise<CheckedKey> =>
    await checkKey(as(), pepper, { key, region: "eu", now, ...more });
  return {
    ...temporary,
    organizationId,
    projectId,
    otherProjectId,
    foreignOrganizationId,
    foreignProjectId,
    as,
    check,
    answer: async (key, more) => await codeOf(check(key, more)),
    projectKey: async (more) =>
      await createProjectKey(as("editor"), {
        projectId,
        name: "CI",
        scopes: ["trigger"],
        expiry: "none",
        issuer,
        now,
        ...more,
      }),
    async addStep(project) {
      const id = createId();
      await database.query(
        `insert into steps (id, version, project_id, name, language, code)
         values ($1, 1, $2, 'step', 'javascript', ''), ($1, 2, $2, 'step', 'javascript', '')`,
        [id, project],
      );
      return id;
    },
  };
}

/** `ok`, or the code of the error. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return await work.then(
    () => "ok",
    (error: { code: string }) => error.code,
  );
}

export async function failureOf(work: Promise<unknown>): Promise<Error & { code: string }> {
  return await work.then(
    () => expect.unreachable("it should have failed"),
    (error: unknown) => error as Error & { code: string },
  );
}

/** Every row of every table, as text. */
export async function dumpOf({ database }: Temporary): Promise<string> {
  const { rows: tables } = await database.query<{ name: string }>(
    "select quote_ident(table_name) as name from information_schema.tables where table_schema = 'stepvault'",
  );
  const texts = tables.map(async ({ name }) => {
    const { rows } = await database.query<{ row: string }>(`select t::text as row from ${name} t`);
    return rows.map(({ row }) => row).join("\n");
  });
  return (await Promise.all(texts)).join("\n");
}
