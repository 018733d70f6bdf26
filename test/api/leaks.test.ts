/**
 * Leaked values over HTTP, with a real vault: what was found is told by where it is and who could read it, ended in one step,
 * and neither the answer nor the log repeats it. What another organization has is nowhere.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { leakTextCharactersMax } from "../../protocol/http/leaks.ts";
import { openTenants, plain, type Tenants } from "./tenants.ts";

let world: Tenants;
beforeAll(async () => {
  world = await openTenants();
});
afterAll(async () => await world.close());

interface Leak {
  readonly secrets: { id: string; name: string; place: object; inForce: boolean; readers: { personId: string }[] }[];
  readonly credentials: object[];
  readonly keys: { id: string; inForce: boolean }[];
  readonly unknownVersions: number;
}
interface Ending {
  readonly leak: Leak;
  readonly ended: { type: string; id: string; done: string; error?: string }[];
}

const search = async (text: string, as = "person owner"): Promise<Leak> =>
  (await world.call<Leak>("POST", `${world.inOrganization}/leaks/search`, { as, body: { text } })).body;
const end = async (body: object): Promise<Ending> =>
  (await world.call<Ending>("POST", `${world.inOrganization}/leaks/end`, { as: "person owner", body })).body;

async function put(place: string, name: string, value = world.newValue()): Promise<string> {
  expect((await world.call("PUT", `${place}/secrets/${name}`, { body: { value } })).status).toBeLessThan(300);
  return value;
}
const reveal = async (name: string): Promise<string> =>
  (
    await world.call<{ value: string }>("POST", `${world.inProject}/secrets/${name}/reveal`, {
      body: {},
      holdsValue: true,
    })
  ).body.value;

describe("a leak over HTTP", () => {
  test("is told by where it is stored and who could read it, at both levels", async () => {
    const value = await put(world.inProject, "LEAKED");
    await put(world.inOrganization, "LEAKED_TOO", value);
    const leak = await search(`2026-01-01 request failed: Authorization="${value}" sent`);
    const { projectId, organizationId } = world;
    expect(leak).toMatchObject({
      secrets: [
        { name: "LEAKED_TOO", place: { organizationId }, version: 1, inForce: true, readers: [] },
        {
          name: "LEAKED",
          place: { projectId },
          version: 1,
          inForce: true,
          revealedTo: expect.arrayContaining(["owner"]) as never,
        },
      ],
      credentials: [],
      keys: [],
    });
    const readers = leak.secrets[1]!.readers.map(({ personId }) => personId);
    expect(readers).toContain("builder");
    expect(readers).not.toContain("viewer");
    expect((await search(Buffer.from(value).toString("base64"))).secrets).toHaveLength(2);
    expect((await search("nothing of ours")).secrets).toEqual([]);
  });

  test("of another organization is nowhere", async () => {
    const value = world.newValue();
    await put(`/v1/projects/${world.foreignProjectId}`, "THEIRS", value);
    expect(await search(value)).toEqual(await search("something that nobody has"));
    expect(await end({ text: value })).toMatchObject({ ended: [] });
    const theirs = `/v1/projects/${world.foreignProjectId}/secrets/THEIRS`;
    expect((await world.call<{ disabled: boolean }>("GET", theirs)).body.disabled).toBe(false);
  });

  test("is ended by switching off, and sent again it ends nothing twice", async () => {
    const value = await put(world.inProject, "TO_END");
    const id = (await search(value)).secrets[0]!.id;
    const { ended, leak } = await end({ text: `KEY=${value}` });
    expect(ended).toEqual([{ type: "secret", id, done: "switched off" }]);
    expect(leak.secrets).toMatchObject([{ id, inForce: true }]);
    expect((await world.call("GET", `${world.inProject}/secrets/TO_END`)).body).toMatchObject({ disabled: true });
    expect((await end({ text: value })).ended).toEqual([{ type: "secret", id, done: "nothing to do" }]);
  });

  test("is ended by a replacement, which the answer does not hold either", async () => {
    const [value, replacement] = [await put(world.inProject, "TO_REPLACE"), world.newValue()];
    const { ended } = await end({ text: value, replacement });
    expect(ended).toMatchObject([{ type: "secret", done: "rotated" }]);
    expect(await reveal("TO_REPLACE")).toBe(replacement);
    expect((await end({ text: value, replacement })).ended).toMatchObject([{ done: "nothing to do" }]);
    expect(await reveal("TO_REPLACE")).toBe(replacement);
  });

  test("of a platform key is found by the key itself and revoked, and the key is not repeated", async () => {
    const { vault } = world.store;
    const { projectId } = world;
    const { key, ...made } = await vault.keys.createForProject({
      projectId,
      name: "CI",
      scopes: ["trigger"],
      expiry: "none",
    });
    const found = await world.call<Leak>("POST", `${world.inOrganization}/leaks/search`, {
      body: { text: `curl -H ${key}` },
    });
    expect(found.body.keys).toMatchObject([
      { kind: "key", place: { projectId }, name: "CI", inForce: true, children: 0 },
    ]);
    const ended = await world.call<Ending>("POST", `${world.inOrganization}/leaks/end`, { body: { text: key } });
    expect(ended.body.ended).toMatchObject([{ type: "key", done: "revoked" }]);
    expect([found.text, ended.text, ...world.api.log].filter((text) => text.includes(key))).toEqual([]);
    expect((await search(key)).keys).toMatchObject([{ inForce: false }]);
    expect(made).toBeDefined();
  });

  test("is for owners and admins of the organization, and every search is in the audit log", async () => {
    const value = await put(world.inProject, "ASKED");
    const statuses: Record<string, number> = {};
    const askers = ["person organization-admin", "person nobody", "person project-admin", "organization-key admin"];
    for (const as of askers) {
      for (const route of ["search", "end"]) {
        const answer = await world.call("POST", `${world.inOrganization}/leaks/${route}`, {
          as,
          body: { text: value },
        });
        statuses[`${as} ${route}`] = answer.status;
        expect(as === askers[0] || answer.body.detail.includes("it takes owner, organization admin")).toBe(true);
      }
      if (as === askers[0]) await world.call("POST", `${world.inProject}/secrets/ASKED/enable`);
    }
    expect(Object.values(statuses)).toEqual([200, 200, 403, 403, 403, 403, 403, 403]);
    expect((await world.call("GET", `${world.inProject}/secrets/ASKED`)).body).toMatchObject({ disabled: false });
    const events = await world.store.vault.audit.list({ organizationId: world.organizationId, limit: 50 });
    const told = events.filter(({ event }) => event === "leak.search");
    expect(told.map(({ actor, outcome }) => `${actor.id} ${outcome}`)).toEqual(
      expect.arrayContaining(["organization-admin success", "nobody denied"]),
    );
  });

  test("tells nobody apart who has no part in the organization", async () => {
    const absent = "01890000-0000-7000-8000-000000000000";
    for (const route of ["search", "end"]) {
      const ask = async (id: string): Promise<string> => {
        const path = `/v1/organizations/${id}/leaks/${route}`;
        const answer = await world.call("POST", path, { as: "person eve", body: { text: "text" } });
        return `${answer.status} ${plain(answer, id)}`;
      };
      expect(await ask(world.organizationId)).toBe(await ask(absent));
    }
  });

  test("is refused by its place where the request is wrong, without what was pasted", async () => {
    const value = world.newValue();
    for (const [body, pointer] of [
      [{}, "/body/text"],
      [{ text: "" }, "/body/text"],
      [{ text: [value] }, "/body/text"],
      [{ text: value.repeat(20_000) }, "/body/text"],
      [{ text: value, [value]: true }, "/body"],
    ] as const) {
      const answer = await world.call("POST", `${world.inOrganization}/leaks/search`, { body });
      expect(answer.status).toBe(400);
      expect(answer.body.errors?.map((error) => error.pointer)).toContain(pointer);
    }
    const blanks = await world.call("POST", `${world.inOrganization}/leaks/search`, { body: { text: "  " } });
    expect(blanks).toMatchObject({ status: 400, body: { code: "ERR_LEAK_TEXT_INVALID" } });
    const bytes = "é".repeat(leakTextCharactersMax);
    const large = await world.call("POST", `${world.inOrganization}/leaks/end`, { body: { text: bytes } });
    expect(large).toMatchObject({ status: 400, body: { code: "ERR_LEAK_TEXT_INVALID" } });
    const empty = await world.call("POST", `${world.inOrganization}/leaks/end`, {
      body: { text: value, replacement: "" },
    });
    expect(empty).toMatchObject({ status: 400, body: { errors: [{ pointer: "/body/replacement" }] } });
  });
});
