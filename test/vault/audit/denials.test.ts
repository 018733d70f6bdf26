/**
 * Denials in the audit log. Goal: each that a rule gave is told once, mistakes are not told, a flood neither fills the log nor
 * holds up anybody, and no race, slowness or failure loses a first one or changes an answer. Real PostgreSQL; a minute
 * passes by moving the rows back; a second process is a second pool of connections.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { openDatabase } from "../../../database/connection.ts";
import type { Queryable } from "../../../database/server.ts";
import { StepvaultError } from "../../../protocol/error.ts";
import type { Actor } from "../../../vault/tenancy/actor.ts";
import { createAgent, listAgents } from "../../../vault/platform-keys/agents.ts";
import { type AuditEvent, listAudit, verifyAudit } from "../../../vault/audit/audit.ts";
import {
  type CredentialContext,
  listCredentials,
  setCredential,
  switchCredential,
} from "../../../vault/credentials/credentials.ts";
import { explainCredential, listEffective, resolveCredential } from "../../../vault/credentials/effective.ts";
import { createEmbedKey, listEmbedKeys } from "../../../vault/platform-keys/embed-keys.ts";
import { type Gates, setStanding } from "../../../vault/credentials/gates.ts";
import { listInheritance } from "../../../vault/credentials/inheritance.ts";
import {
  changeKey,
  createOrganizationKey,
  listOrganizationKeys,
  listProjectKeys,
  revokeKey,
} from "../../../vault/platform-keys/keys.ts";
import { provideProjectKey } from "../../../vault/encryption/data-keys.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import { type ActContext, perform } from "../../../vault/audit/perform.ts";
import { codeOf, issuer, openWorld, type World } from "../platform-keys/keys-world.ts";

const open = { planGate: false, rolloutGate: false };
const gated = { planGate: true, rolloutGate: true };
const auditKey = Buffer.alloc(32, 7);

let world: World;
let master: MasterKey;
let organizationId: string;
let projectId: string;

beforeAll(async () => {
  world = await openWorld();
  master = await openMasterKey(world.database, world.config);
  ({ organizationId, projectId } = world);
  // As a project has that is made through the vault: without it nothing is inherited.
  await provideProjectKey(world.database, master, { id: projectId, organizationId });
});
afterAll(async () => {
  master.close();
  await world.dispose();
});
beforeEach(async () => {
  for (const table of ["audit_events", "audit_heads", "audit_denials"]) await sql(`delete from ${table}`);
});

/** With what credentials take besides. */
const withGates = (context: ActContext, gates: Gates = open): CredentialContext => ({ ...context, master, gates });
const sql = async (text: string, ...values: unknown[]): Promise<Record<string, unknown>[]> =>
  (await world.database.query(text, values)).rows;
const aMinuteLater = async (): Promise<unknown> =>
  await sql("update audit_denials set recorded_at = recorded_at - interval '61 seconds'");
const denials = async (): Promise<AuditEvent[]> =>
  (await listAudit(world.database, { organizationId, limit: 100 })).filter(({ outcome }) => outcome === "denied");

/** Something that a viewer of the project may not do. */
const denied = async (context: ActContext = world.as("viewer"), event = "project.renamed"): Promise<string> =>
  await codeOf(
    perform(context, { action: "project.manage", place: { projectId }, event }, async () => ({ result: undefined })),
  );
const times = async (count: number, work: () => Promise<string>): Promise<string[]> =>
  await Promise.all(Array.from({ length: count }, async () => await work()));

/** Holds the end of the organization's log until it is let go. */
async function holdLog(): Promise<() => Promise<void>> {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const { promise: held, resolve: hold } = Promise.withResolvers<void>();
  const done = world.database.transaction(async (client) => {
    await client.query("insert into audit_heads values ($1, 0, $2) on conflict do nothing", [
      organizationId,
      Buffer.alloc(32),
    ]);
    await client.query("select from audit_heads where organization_id = $1 for update", [organizationId]);
    hold();
    await released;
  });
  await held;
  const letGo = async (): Promise<void> => {
    release();
    await done;
  };
  onTestFinished(letGo);
  return letGo;
}

describe("a refusal inside of what was allowed to begin", () => {
  const place = () => ({ projectId });
  const organizationPlace = () => ({ organizationId });
  const openai = { integration: "openai", fields: { api_key: "hunter2-hunter2" } };
  const organizationKey = async (): Promise<string> => {
    const wanted = { organizationId, access: "all", name: "Org", scopes: ["trigger"], expiry: "none", issuer } as const;
    return (await createOrganizationKey(world.as("admin"), wanted)).metadata.id;
  };
  const refusals: [code: string, event: string, who: string, work: (context: ActContext) => Promise<unknown>][] = [
    [
      "ERR_FORBIDDEN",
      "organization.standing.set",
      "owner",
      async (context) => await setStanding(context, { organizationId, plan: "enterprise" }),
    ],
    [
      "ERR_PLAN_REQUIRED",
      "credential.set",
      "owner",
      async (context) => await setCredential(withGates(context, gated), { place: organizationPlace(), ...openai }),
    ],
    [
      "ERR_ROLLOUT_PENDING",
      "credential.set",
      "admin",
      async (context) => {
        await setStanding(world.as(), { organizationId, plan: "enterprise" });
        await setCredential(withGates(context, gated), { place: organizationPlace(), ...openai });
      },
    ],
    [
      "ERR_OAUTH_NOT_SHAREABLE",
      "credential.set",
      "editor",
      async (context) =>
        await setCredential(withGates(context), { place: place(), integration: "salesforce", fields: { token: "x" } }),
    ],
    [
      "ERR_OAUTH_NOT_SHAREABLE",
      "credential.resolve",
      "builder",
      async (context) => await resolveCredential(withGates(context), { projectId, integration: "salesforce" }),
    ],
    [
      "ERR_CREDENTIAL_NOT_INHERITED",
      "credential.resolve",
      "builder",
      async (context) => {
        await setCredential(withGates(world.as()), { place: organizationPlace(), ...openai });
        await resolveCredential(withGates(context), { projectId, integration: "openai" });
      },
    ],
    [
      "ERR_CREDENTIAL_DISABLED",
      "credential.resolve",
      "editor",
      async (context) => {
        await setCredential(withGates(world.as()), { place: place(), ...openai });
        await switchCredential(withGates(world.as()), { place: place(), integration: "openai", enabled: false });
        await resolveCredential(withGates(context), { projectId, integration: "openai" });
      },
    ],
    [
      "ERR_KEY_INHERITED",
      "key.changed",
      "editor",
      async (context) => await changeKey(context, { place: place(), keyId: await organizationKey(), name: "Mine" }),
    ],
    [
      "ERR_KEY_REVOKED",
      "key.changed",
      "admin",
      async (context) => {
        const keyId = await organizationKey();
        await revokeKey(context, { place: organizationPlace(), keyId });
        await changeKey(context, { place: organizationPlace(), keyId, name: "Again" });
      },
    ],
    [
      "ERR_AGENT_PRIVATE",
      "embed-key.created",
      "builder",
      async (context) => {
        const agent = { projectId, kind: "agent", name: "Internal", public: false, stepIds: [] } as const;
        await createEmbedKey(context, { projectId, agentId: (await createAgent(world.as(), agent)).id, issuer });
      },
    ],
  ];

  test.each(refusals)("is recorded with its code: %s of %s", async (code, event, who, work) => {
    expect(await codeOf(work(world.as(who)))).toBe(code);
    const actor = { kind: "person", id: who };
    expect(await denials()).toMatchObject([{ event, reason: code, actor, class: "authorization" }]);
    const { broken } = await verifyAudit(world.database, auditKey, { organizationId });
    expect(broken).toBeUndefined();
  });

  test("names what it was about, and never what was given", async () => {
    const request = { place: place(), integration: "salesforce", fields: { token: "hunter2-hunter2" } };
    await codeOf(setCredential(withGates(world.as("editor")), request));
    const [event] = await denials();
    expect(event).toMatchObject({
      projectId,
      target: [{ type: "credential", name: "salesforce" }],
      details: { action: "project.credentials.manage" },
    });
    expect(JSON.stringify(event)).not.toContain("hunter2");
  });

  test("leaves no event when it is a mistake and no denial", async () => {
    const keyId = projectId;
    const set = { place: place(), integration: "anthropic" };
    for (const [code, work] of [
      ["ERR_KEY_ID_UNKNOWN", async () => await changeKey(world.as("editor"), { place: place(), keyId, name: "Mine" })],
      [
        "ERR_CREDENTIAL_INVALID",
        async () => await setCredential(withGates(world.as("editor")), { ...set, fields: { api_key: "short" } }),
      ],
      [
        "ERR_CREDENTIAL_UNKNOWN",
        async () => await switchCredential(withGates(world.as("editor")), { ...set, enabled: false }),
      ],
    ] as const)
      expect(await codeOf(work())).toBe(code);
    expect(await denied(world.as("outsider"))).toBe("ERR_PROJECT_UNKNOWN");
    expect(await denials()).toEqual([]);
  });
});

describe("a denied look", () => {
  const trigger = (): Actor => ({ kind: "key", id: "k1", organizationId, projects: "all", scopes: ["trigger"] });
  const looks: [event: string, who: string | (() => Actor), look: (context: ActContext) => Promise<unknown>][] = [
    ["key.listed", "viewer", async (context) => await listProjectKeys(context, { projectId })],
    ["key.listed", "outsider", async (context) => await listOrganizationKeys(context, { organizationId })],
    ["embed-key.listed", "viewer", async (context) => await listEmbedKeys(context, projectId)],
    ["agent.listed", trigger, async (context) => await listAgents(context, projectId)],
    ["inheritance.list", trigger, async (context) => await listInheritance(withGates(context), projectId)],
    ["credential.list", trigger, async (context) => await listCredentials(withGates(context), { projectId })],
    ["credential.list", trigger, async (context) => await listCredentials(withGates(context), { organizationId })],
    ["credential.list", trigger, async (context) => await listEffective(withGates(context), projectId)],
    [
      "credential.explain",
      trigger,
      async (context) => await explainCredential(withGates(context), { projectId, integration: "openai" }),
    ],
  ];

  test.each(looks)("is recorded as %s", async (event, who, look) => {
    const context = world.as(typeof who === "string" ? who : who());
    expect(await codeOf(look(context))).toBe("ERR_FORBIDDEN");
    const { kind, id } = context.actor;
    expect(await denials()).toMatchObject([{ event, reason: "ERR_FORBIDDEN", actor: { kind, id } }]);
  });

  test("of one who has no part in the place is none that the place is told of", async () => {
    expect(await codeOf(listProjectKeys(world.as("stranger"), { projectId }))).toBe("ERR_PROJECT_UNKNOWN");
    expect(await codeOf(listProjectKeys(world.as("owner"), { projectId }))).toBe("ok");
    expect(await denials()).toEqual([]);
  });
});

describe("a flood of denials", () => {
  test("is one event a minute, and the next tells how many there were", async () => {
    expect(new Set(await times(200, denied))).toEqual(new Set(["ERR_FORBIDDEN"]));
    await denied();
    expect(await denials()).toMatchObject([{ seq: 1, details: { action: "project.manage" } }]);
    expect((await denials())[0]?.details).not.toHaveProperty("suppressedRepeats");
    await aMinuteLater();
    await denied();
    expect(await denials()).toMatchObject([{ seq: 2, details: { suppressedRepeats: 200 } }, { seq: 1 }]);
    await aMinuteLater();
    await denied();
    expect((await denials())[0]?.details).toEqual({ action: "project.manage" });
  });

  test("folds the same only: another actor, event or reason is an event of its own", async () => {
    for (let round = 0; round < 2; round += 1) {
      await denied();
      await denied(world.as("builder"));
      await denied(world.as("viewer"), "project.removed");
      await codeOf(listProjectKeys(world.as("viewer"), { projectId }));
      const work = { action: "project.read", place: { projectId }, event: "project.renamed" } as const;
      const refusal = new StepvaultError("ERR_AGENT_PRIVATE", "Cannot do it: it is private");
      await codeOf(perform(world.as("viewer"), work, async () => await Promise.reject(refusal)));
    }
    expect(await denials()).toHaveLength(5);
  });

  test("from several processes at once is one event, and nothing of the count is lost", async () => {
    const other = await openDatabase(world.config);
    const there = { ...world.as("viewer"), database: other };
    await Promise.all([times(60, denied), times(60, async () => await denied(there))]);
    expect(await denials()).toHaveLength(1);
    expect(await sql("select repeats::int from audit_denials")).toEqual([{ repeats: 119 }]);
    await other.close();
  });

  test("does not wait for the organization's log", async () => {
    await denied();
    const letGo = await holdLog();
    expect(new Set(await times(50, denied))).toEqual(new Set(["ERR_FORBIDDEN"]));
    await letGo();
    expect(await denials()).toHaveLength(1);
  });

  test("that has to wait for the log holds one connection, and leaves the others to the rest", async () => {
    const letGo = await holdLog();
    const flood = times(50, denied);
    for (let query = 0; query < 20; query += 1) await sql("select 1");
    await letGo();
    await flood;
    expect(await denials()).toHaveLength(1);
    expect(await sql("select repeats::int from audit_denials")).toEqual([{ repeats: 49 }]);
  });

  test("leaves rows for as long as their count is of use, and no longer", async () => {
    const insert = `insert into audit_denials select $1, sha256(('x' || $2 || i)::bytea), now() - $3::interval, $4
      from generate_series(1, 60) i`;
    await sql(insert, organizationId, "done", "2 minutes", 0);
    await sql(insert, organizationId, "counting", "29 days", 5);
    await sql(insert, organizationId, "forgotten", "31 days", 5);
    await sql(insert, organizationId, "fresh", "0 minutes", 0);
    const rows = async (): Promise<unknown> => (await sql("select count(*)::int from audit_denials"))[0]?.["count"];
    await denied();
    expect(await rows()).toBe(241 - 100);
    await denied(world.as("builder"));
    expect(await rows()).toBe(122);
  });

  test("is not silenced by a clock that went back", async () => {
    await denied();
    await sql("update audit_denials set recorded_at = now() + interval '1 day'");
    await denied();
    expect(await denials()).toHaveLength(2);
  });
});

describe("a denial that is hard to record", () => {
  test("is recorded by the next, also one that waits, when it could not be", async () => {
    const { promise: stopped, reject: stop } = Promise.withResolvers<never>();
    const { promise: started, resolve: start } = Promise.withResolvers<void>();
    const lost: unknown[] = [];
    const failing: ActContext = {
      ...world.as("viewer"),
      onDenialLost: (error) => lost.push(error),
      withAuditKey: async () => {
        start();
        return await stopped;
      },
    };
    const first = denied(failing);
    await started;
    const other = await openDatabase(world.config);
    const here = denied();
    const there = denied({ ...world.as("viewer"), database: other });
    stop(new Error("no key"));
    expect(await Promise.all([first, here, there])).toEqual(Array(3).fill("ERR_FORBIDDEN"));
    expect(lost).toEqual([new Error("no key")]);
    expect(await denials()).toHaveLength(1);
    await other.close();
  });

  test("is recorded when the database is slow", async () => {
    const letGo = await holdLog();
    const answer = denied();
    setTimeout(() => void letGo(), 500);
    expect(await answer).toBe("ERR_FORBIDDEN");
    expect(await denials()).toHaveLength(1);
  });

  test.each<[string, Partial<ActContext>]>([
    ["key", { withAuditKey: () => Promise.reject(new Error("no key")) }],
    [
      "database",
      {
        database: {
          query: async (text, values) => await (world.database as Queryable).query(text, values),
          transaction: () => Promise.reject(new Error("no database")),
        },
      },
    ],
  ])("is answered as ever when there is no %s to record it, and the operator is told", async (what, missing) => {
    const lost: unknown[] = [];
    const context = { ...world.as("viewer"), ...missing, onDenialLost: (error: unknown) => lost.push(error) };
    expect(await denied(context)).toBe("ERR_FORBIDDEN");
    expect(lost).toEqual([new Error(`no ${what}`)]);
    expect(await denied({ ...world.as("viewer"), ...missing })).toBe("ERR_FORBIDDEN");
    expect(await denials()).toEqual([]);
  });
});
