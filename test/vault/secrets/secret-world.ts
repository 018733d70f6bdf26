/**
 * An organization with a project and somebody of each role, on real PostgreSQL, for the tests of the life of secrets. Values
 * of these tests hold the word `canary`, so that one look at every row and error tells whether one got out.
 */
import { ok } from "node:assert/strict";
import { inspect } from "node:util";
import { afterAll, beforeAll, beforeEach, expect } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { Capacity } from "../../../protocol/roles.ts";
import type { AuditEvent } from "../../../vault/audit/audit.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject } from "../../helpers/vault.ts";

export const sealed = { sealed: true, hosts: ["https://api.example.com"] };

type Row = Record<string, unknown>;
/** Rows by their table. */
export type Saved = ReadonlyMap<string, Row[]>;

export class SecretWorld {
  temporary!: Temporary;
  vault!: Vault;
  organizationId = "";
  /** New for each test. */
  projectId = "";
  /** Of the project. */
  place: Place = { projectId: "" };
  organization: Place = { organizationId: "" };

  /** A value that no other test has. */
  value(of = "value"): string {
    return `canary-${of}-${createId()}`;
  }

  async sql<Found extends Row = Row>(text: string, values: unknown[] = []): Promise<Found[]> {
    return (await this.temporary.database.query<Found>(text, values)).rows;
  }

  /** Changes rows as somebody with the database would; it must change some. */
  async attack(text: string, values: unknown[] = [this.projectId]): Promise<void> {
    const { rowCount } = await this.temporary.database.query(text, values);
    ok(rowCount! > 0, "the attack changed no row");
  }

  /** What a run of a project gets for a reference. */
  async use(
    name = "KEY",
    { now, projectId = this.projectId }: { now?: Date; projectId?: string } = {},
  ): Promise<string> {
    const [secret] = await this.vault.secrets.use({ projectId, references: [{ name }], runId: createId(), now });
    return secret!.expose();
  }

  /** The value as a person would see it. */
  async reveal(version?: number, name = "KEY"): Promise<string> {
    return (await this.vault.secrets.reveal({ place: this.place, name, version })).expose();
  }

  /** The error of something that must fail, in which no value stands. */
  async failure(work: Promise<unknown>): Promise<Error & { code: string }> {
    const error = await work.then(
      () => expect.unreachable("it should have failed"),
      (reason: unknown) => reason as Error & { code: string },
    );
    ok(!inspect(error, { depth: 9, showHidden: true }).includes("canary"), "a value is in an error");
    return error;
  }

  /** The code of that error. */
  async codeOf(work: Promise<unknown>): Promise<string> {
    return (await this.failure(work)).code;
  }

  async eventsDuring(work: () => Promise<unknown>): Promise<AuditEvent[]> {
    const { organizationId } = this;
    const [last] = await this.vault.audit.list({ organizationId, limit: 1 });
    await work();
    const events = await this.vault.audit.list({ organizationId, limit: 50 });
    return events.filter(({ seq }) => seq > last!.seq).reverse();
  }

  /** Runs `work` while every write of a kind to a table raises an error in the database. */
  async whileRefusing(what: string, work: () => Promise<void>): Promise<void> {
    await this.sql(`create trigger refuse before ${what} for each row execute function refuse()`);
    try {
      await work();
    } finally {
      await this.sql(`drop trigger refuse on ${what.split(" on ")[1]}`);
    }
  }

  /** Every row of every table as text. */
  async dump(): Promise<string> {
    const tables = await this.sql<{ name: string }>(
      `select quote_ident(table_name) as name from information_schema.tables
       where table_schema = 'stepvault' and table_type = 'BASE TABLE' order by 1`,
    );
    const rows = [];
    for (const { name } of tables)
      rows.push(...(await this.sql<{ row: string }>(`select '${name} ' || t::text as row from ${name} t order by 1`)));
    return rows.map(({ row }) => row).join("\n");
  }

  /** The rows of a secret: its own, and those of all or one of its versions. */
  async save(name = "KEY", version: number | null = null): Promise<Saved> {
    const secrets = await this.sql("select * from secrets where name = $1 and project_id = $2", [name, this.projectId]);
    const versions = await this.sql(
      "select * from secret_versions where secret_id = $1 and ($2::int is null or version = $2)",
      [secrets[0]!["id"], version],
    );
    return new Map([
      ["secrets", secrets],
      ["secret_versions", versions],
    ]);
  }

  /** Makes rows what they were, whether they are still there or not. */
  async putBack(saved: Saved, tables: readonly string[] = [...saved.keys()]): Promise<void> {
    const keys: Record<string, string> = { secrets: "id", secret_versions: "secret_id, version" };
    for (const table of tables)
      for (const row of saved.get(table)!) {
        const columns = Object.keys(row);
        await this.attack(
          `insert into ${table} (${columns.join(", ")}) values (${columns.map((_, at) => `$${at + 1}`).join(", ")})
           on conflict (${keys[table] ?? Object.keys(row).slice(0, 2).join(", ")})
           do update set ${columns.map((column) => `${column} = excluded.${column}`).join(", ")}`,
          Object.values(row),
        );
      }
  }
}

/** Of each capacity one person, who is named like it. */
export const people = {
  owner: ["owner"],
  "organization admin": ["admin"],
  "organization member": ["member"],
  "project admin": ["member", "admin"],
  editor: ["member", "editor"],
  builder: ["member", "member", true],
  member: ["member", "member"],
  viewer: ["member", "viewer"],
} as const satisfies Record<Capacity, readonly unknown[]>;

export async function addPeople({ temporary: { database }, organizationId, projectId }: SecretWorld): Promise<void> {
  for (const [personId, [role, projectRole, canCreateAssets]] of Object.entries(people)) {
    await setOrganizationMember(database, { organizationId, personId, name: personId, role });
    if (projectRole === undefined) continue;
    await setProjectMember(database, {
      projectId,
      personId,
      role: projectRole,
      canCreateAssets: canCreateAssets === true,
    });
  }
}

export function useSecretWorld(settings: (temporary: Temporary) => Promise<object> = async () => ({})): SecretWorld {
  const world = new SecretWorld();

  beforeAll(async () => {
    world.temporary = await openTemporary();
    world.vault = await openVault(world.temporary.database, {
      ...world.temporary.config,
      ...(await settings(world.temporary)),
    });
    world.organizationId = (await createOrganization(world.vault, "Acme")).id;
    world.organization = { organizationId: world.organizationId };
    await world.sql(`create function refuse() returns trigger language plpgsql as $$ begin raise 'refused'; end $$`);
  });

  beforeEach(async () => {
    world.projectId = (await createProject(world.vault, world.organizationId, "Support")).id;
    world.place = { projectId: world.projectId };
  });

  afterAll(async () => {
    world.vault.close();
    await world.temporary.dispose();
  });

  return world;
}
