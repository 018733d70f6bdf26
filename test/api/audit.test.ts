/**
 * The audit log over HTTP, with a real vault: who did what is on it as it happens, pages hold each event once, and a change of
 * the log past Stepvault is told. Values are in none of it.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTenants, plain, type Tenants } from "./tenants.ts";

let world: Tenants;
let log: string;
beforeAll(async () => {
  world = await openTenants();
  log = `${world.inOrganization}/audit`;
});
afterAll(async () => await world.close());

interface Event {
  readonly seq: number;
  readonly event: string;
  readonly projectId?: string;
  readonly [field: string]: unknown;
}
interface Page {
  readonly data: Event[];
  readonly pagination: { readonly cursor?: string; readonly hasMore: boolean };
}
interface Head {
  readonly seq: number;
  readonly hash: string;
  readonly [field: string]: unknown;
}

const list = async (query = ""): Promise<Page> => (await world.call<Page>("GET", `${log}${query}`)).body;
const head = async (): Promise<Head> => (await world.call<Head>("GET", `${log}/head`)).body;
const verify = async (body: object = {}): Promise<object> =>
  (await world.call<object>("POST", `${log}/verify`, { body })).body;

describe("the audit log over HTTP", () => {
  test("tells what was done, shown and denied, by whom and to what, without values", async () => {
    const path = `${world.inProject}/secrets/AUDITED`;
    await world.call("PUT", path, { as: "person builder", body: { value: world.newValue(), description: "a text" } });
    await world.call("POST", `${path}/reveal`, { as: "person owner", body: {}, holdsValue: true });
    await world.call("POST", `${path}/reveal`, { as: "person builder", body: {} });
    const { data } = await list("?limit=3");
    const target = [{ type: "secret", name: "AUDITED" }];
    expect(data).toMatchObject([
      { event: "secret.reveal", class: "authorization", outcome: "denied", reason: "ERR_FORBIDDEN", target },
      {
        event: "secret.reveal",
        class: "data-access",
        outcome: "success",
        actor: { kind: "person", id: "owner" },
        target,
      },
      { event: "secret.set", class: "management", actor: { kind: "person", id: "builder" }, target },
    ]);
    expect(data[2]).toMatchObject({ projectId: world.projectId, details: { changed: "description" } });
    expect(data.map(({ seq }) => seq)).toEqual([data[2]!.seq + 2, data[2]!.seq + 1, data[2]!.seq]);
  });

  test("holds each event once on its pages, the latest first, also while more happens", async () => {
    const { seq } = (await list("?limit=1")).data[0]!;
    const seen: number[] = [];
    let page = await list("?limit=2");
    for (let pages = 0; pages < 100; pages += 1) {
      seen.push(...page.data.map((event) => event.seq));
      await world.call("PUT", `${world.inProject}/secrets/MORE`, { body: { value: world.newValue() } });
      const { cursor, hasMore } = page.pagination;
      expect(hasMore).toBe(cursor !== undefined);
      if (cursor === undefined) break;
      page = await list(`?limit=2&cursor=${cursor}`);
    }
    expect(seen).toEqual(Array.from({ length: seq }, (_, index) => seq - index));
    for (const cursor of ["x", "WzBd", "WyIxIl0"]) {
      const answer = await world.call("GET", `${log}?cursor=${cursor}`);
      expect(answer).toMatchObject({ status: 400, body: { code: "ERR_CURSOR_INVALID" } });
    }
  });

  test("of one project has its events only, and none of a project elsewhere", async () => {
    await world.call("PUT", `${world.inOrganization}/secrets/OF_ALL`, { body: { value: world.newValue() } });
    const { data } = await list(`?limit=100&projectId=${world.projectId.toUpperCase()}`);
    expect(new Set(data.map(({ projectId }) => projectId))).toEqual(new Set([world.projectId]));
    await world.call("PUT", `/v1/projects/${world.foreignProjectId}/secrets/X`, { body: { value: world.newValue() } });
    for (const id of [world.foreignProjectId, await world.hiddenProject()])
      expect(await list(`?projectId=${id}`)).toEqual({ data: [], pagination: { hasMore: false } });
    const whole = JSON.stringify(await list("?limit=100"));
    expect(whole).toContain("OF_ALL");
    expect(whole).not.toContain(await world.hiddenProject());
  });

  test("leads through a head that was kept, and tells of one that is not its own", async () => {
    const kept = await head();
    expect(kept).toMatchObject({
      organizationId: world.organizationId,
      hash: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
    });
    await world.call("PUT", `${world.inProject}/secrets/LATER`, { body: { value: world.newValue() } });
    expect(await verify()).toEqual({ events: (await head()).seq });
    expect(await verify({ head: kept })).toEqual({ events: (await head()).seq });
    const foreign = await world.call<Head>("GET", `/v1/organizations/${world.foreignOrganizationId}/audit/head`);
    const changes = [
      { seq: kept.seq + 1 },
      { hash: "0".repeat(64) },
      { signature: "" },
      { time: "2020-01-01T00:00:00Z" },
    ];
    for (const one of [foreign.body, ...changes.map((change) => ({ ...kept, ...change }))]) {
      const answer = await world.call("POST", `${log}/verify`, { body: { head: one } });
      expect(answer).toMatchObject({ status: 400, body: { code: "ERR_AUDIT_HEAD_INVALID" } });
    }
    const wrong = await world.call("POST", `${log}/verify`, { body: { head: { ...kept, seq: -1 } } });
    expect(wrong).toMatchObject({ status: 400, body: { errors: [{ pointer: "/body/head/seq" }] } });
  });

  test("tells the first event that was changed past Stepvault", async () => {
    const { database } = world.store.temporary;
    const seq = (await head()).seq - 1;
    const change = async (from: string, to: string): Promise<void> => {
      const { rowCount } = await database.query(
        "update audit_events set body = replace(body, $3, $4) where organization_id = $1 and seq = $2 and body <> replace(body, $3, $4)",
        [world.organizationId, seq, from, to],
      );
      expect(rowCount).toBe(1);
    };
    await change('"success"', '"failure"');
    expect(await verify()).toMatchObject({ events: seq - 1, broken: { seq } });
    await change('"failure"', '"success"');
    expect(await verify()).toEqual({ events: seq + 1 });
  });

  test("is for owners, admins and admin keys of the organization", async () => {
    const routes = [
      ["GET", "", undefined],
      ["GET", "/head", undefined],
      ["POST", "/verify", {}],
    ] as const;
    const absent = "01890000-0000-7000-8000-000000000000";
    for (const [method, path, body] of routes) {
      for (const as of ["person owner", "person organization-admin", "organization-key admin"])
        expect((await world.call(method, log + path, { as, body })).status).toBe(200);
      for (const as of ["person nobody", "person project-admin", "organization-key manage:secrets,trigger,read:runs"]) {
        const answer = await world.call(method, log + path, { as, body });
        expect(answer).toMatchObject({ status: 403, body: { code: "ERR_FORBIDDEN" } });
        expect(answer.body.detail).toContain("it takes owner, organization admin, or a key with the scope admin");
      }
      for (const as of ["person eve", "key admin"]) {
        const [known, unknown] = [
          await world.call(method, log + path, { as, body }),
          await world.call(method, `/v1/organizations/${absent}/audit${path}`, { as, body }),
        ];
        expect(known.status).toBe(404);
        expect(plain(known, world.organizationId)).toBe(plain(unknown, absent));
      }
    }
  });
});
