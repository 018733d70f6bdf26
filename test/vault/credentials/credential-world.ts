/**
 * An organization with two projects, beside another one, and the credentials that they use, for the tests of what somebody with
 * the database does to them. Real PostgreSQL; all but the database is new for each test. Values end in `-value`, so that an
 * error which shows one is noticed.
 */
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject } from "../../helpers/vault.ts";

export type Row = Record<string, unknown>;
type ProjectPlace = { readonly projectId: string };
type OrganizationPlace = { readonly organizationId: string };

/** What `verify` says of a place where all is as it was written. */
export const clean = { changed: [], removed: [], unproven: false };

export class CredentialWorld {
  temporary!: Temporary;
  vault!: Vault;
  organization: OrganizationPlace = { organizationId: "" };
  project: ProjectPlace = { projectId: "" };
  other: ProjectPlace = { projectId: "" };
  /** Of another organization. */
  foreign: ProjectPlace = { projectId: "" };

  get organizationId(): string {
    return this.organization.organizationId;
  }

  get projectId(): string {
    return this.project.projectId;
  }

  get otherId(): string {
    return this.other.projectId;
  }

  get foreignId(): string {
    return this.foreign.projectId;
  }

  /** Changes rows as somebody with the database would; it must change some. */
  async attack(text: string, values: unknown[] = []): Promise<void> {
    const { rowCount } = await this.temporary.database.query(text, values);
    if (rowCount === 0) throw new Error(`This attack changes nothing: ${text}`);
  }

  async save(table: string, condition: string, values: unknown[]): Promise<Row[]> {
    return (await this.temporary.database.query<Row>(`select * from ${table} where ${condition}`, values)).rows;
  }

  async insert(table: string, rows: readonly Row[]): Promise<void> {
    for (const row of rows) {
      const columns = Object.keys(row);
      const places = columns.map((_, at) => `$${at + 1}`);
      await this.attack(
        `insert into ${table} (${columns.join(", ")}) values (${places.join(", ")})`,
        Object.values(row),
      );
    }
  }

  async set(place: ProjectPlace | OrganizationPlace, value: string, integration = "serpapi"): Promise<number> {
    return await this.vault.credentials.set({ place, integration, fields: { api_key: value } });
  }

  /** Switches inheritance of models, or of one of them. */
  async inherit(inherits: boolean | undefined, integration?: string, projectId = this.projectId): Promise<void> {
    await this.vault.credentials.switchInheritance({ projectId, class: "model", integration, inherits });
  }

  /** The value that a project's run would get. */
  async use(integration = "serpapi", projectId = this.projectId): Promise<string> {
    const { secret } = await this.vault.credentials.resolve({ projectId, integration });
    return secret.get("api_key")!.expose();
  }

  async states(integration = "serpapi", projectId = this.projectId): Promise<string[]> {
    const { candidates } = await this.vault.credentials.explain({ projectId, integration });
    return candidates.map(({ level, state }) => `${level}: ${state}`);
  }
}

/** The error of a use that must fail for what somebody did to the database. */
export async function expectTampered(use: Promise<string>): Promise<Error> {
  const failure = await use.then(
    (value) => expect.unreachable(`it should have failed, and gave ${value}`),
    (error: unknown) => error as Error,
  );
  expect(failure).toMatchObject({ code: "ERR_SECRET_TAMPERED", message: expect.not.stringContaining("-value") });
  return failure;
}

export function useCredentialWorld(): CredentialWorld {
  const world = new CredentialWorld();

  beforeAll(async () => {
    world.temporary = await openTemporary();
    world.vault = await openVault(world.temporary.database, world.temporary.config);
  });

  beforeEach(async () => {
    const { vault } = world;
    const projectOf = async (id: string): Promise<ProjectPlace> => ({
      projectId: (await createProject(vault, id, "Support")).id,
    });
    world.organization = { organizationId: (await createOrganization(vault, "Acme")).id };
    world.project = await projectOf(world.organizationId);
    world.other = await projectOf(world.organizationId);
    world.foreign = await projectOf((await createOrganization(vault, "Other")).id);
  });

  afterAll(async () => {
    world.vault.close();
    await world.temporary.dispose();
  });

  return world;
}
