/**
 * Importing and exporting secrets over HTTP, in a project and in an organization alike: what a dry run tells is what happens,
 * all of it or nothing, and values are in the text that is sent and in the text of an export only.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { importTextCharactersMax } from "../../protocol/http/secret-transfers.ts";
import { secretsTextBytesMax } from "../../vault/secrets/secrets-text.ts";
import { openTenants, type Tenants } from "./tenants.ts";

let world: Tenants;
beforeAll(async () => {
  world = await openTenants();
});
afterAll(async () => await world.close());

interface Imported {
  readonly dryRun: boolean;
  readonly changes: { readonly name: string; readonly action: string; readonly differs: string[] }[];
  readonly token: string;
}
interface Exported {
  readonly text: string;
  readonly withheld: { readonly name: string; readonly why: string }[];
}

describe.each(["inProject", "inOrganization"] as const)("texts of secrets over HTTP, %s", (place) => {
  const send = async (body: object): Promise<{ status: number; body: Imported }> =>
    await world.call<Imported>("POST", `${world[place]}/secrets-import`, { body });
  const exported = async (format: string): Promise<Exported> =>
    (await world.call<Exported>("POST", `${world[place]}/secrets-export`, { body: { format }, holdsValue: true })).body;
  const versions = async (): Promise<Record<string, number>> => {
    const page = await world.call<{ data: { name: string; version: number; deleted: boolean }[] }>(
      "GET",
      `${world[place]}/secrets?limit=100`,
    );
    return Object.fromEntries(
      page.body.data.filter(({ deleted }) => !deleted).map(({ name, version }) => [name, version]),
    );
  };
  const clear = async (): Promise<void> => {
    for (const name of Object.keys(await versions()))
      await world.call("POST", `${world[place]}/secrets/${name}/destroy`, { body: { versions: "all" } });
  };

  test("a dry run tells what the import does, and does nothing", async () => {
    await clear();
    const [kept, changed] = [world.newValue(), world.newValue()];
    await send({ text: `KEPT=${kept}\nCHANGED=${world.newValue()}\nGONE=${world.newValue()}\n` });
    const before = await versions();
    expect(before).toEqual({ KEPT: 1, CHANGED: 1, GONE: 1 });
    const text = `KEPT=${kept}\nCHANGED=${changed}\nADDED=${world.newValue()}\n`;
    const request = { text, overwrite: true, prune: true };
    const seen = await send({ ...request, dryRun: true });
    expect(seen.body).toMatchObject({
      dryRun: true,
      changes: [
        { name: "KEPT", action: "same", differs: [] },
        { name: "CHANGED", action: "update", differs: ["value"] },
        { name: "ADDED", action: "create" },
        { name: "GONE", action: "delete" },
      ],
    });
    expect(await versions()).toEqual(before);
    const done = await send({ ...request, ifToken: seen.body.token });
    expect(done).toMatchObject({ status: 200, body: { ...seen.body, dryRun: false } });
    expect(await versions()).toEqual({ KEPT: 1, CHANGED: 2, ADDED: 1 });
    // Sent again, whether or not the first answer arrived.
    const again = await send(request);
    expect(again.body.changes.map(({ action }) => action)).toEqual(["same", "same", "same"]);
    expect(await versions()).toEqual({ KEPT: 1, CHANGED: 2, ADDED: 1 });
  });

  test("an import with the token of a dry run stops where something changed since", async () => {
    await clear();
    const text = `ONE=${world.newValue()}\n`;
    const { token } = (await send({ text, dryRun: true })).body;
    await send({ text: `TWO=${world.newValue()}\n` });
    const late = await send({ text, ifToken: token });
    expect(late).toMatchObject({ status: 412, body: { code: "ERR_SECRET_VERSION_CONFLICT" } });
    const other = await send({ text: `ONE=${world.newValue()}\n`, ifToken: token });
    expect(other.status).toBe(412);
    expect(await versions()).toEqual({ TWO: 1 });
  });

  test("an import that fails at one entry stores none, and tells places without what stands there", async () => {
    await clear();
    const value = world.newValue();
    for (const text of [`FINE=${value}\n${world.newValue()}\n`, `FINE=${value}\n1WRONG=${value}\n`, `{"FINE":`, ""]) {
      const answer = await send({ text });
      expect([text.length, answer.status]).toEqual([text.length, text === "" ? 200 : 400]);
    }
    const sealed = JSON.stringify({ FINE: value, SHORT: { value: "x", sealed: true, hosts: ["api.example.com"] } });
    expect((await send({ text: sealed })).status).toBe(400);
    expect(await versions()).toEqual({});
  });

  test("an export holds the values, names what it withholds, and can be imported again", async () => {
    await clear();
    const [plain, limited, hidden] = [world.newValue(), world.newValue(), world.newValue()];
    const put = async (name: string, body: object): Promise<void> => {
      expect((await world.call("PUT", `${world[place]}/secrets/${name}`, { body })).status).toBe(201);
    };
    await put("PLAIN", { value: plain, description: "a description" });
    await put("LIMITED", { value: limited, policy: { hosts: ["https://api.example.com"] } });
    await put("SEALED", { value: hidden, policy: { sealed: true, hosts: ["https://api.example.com"] } });
    await put("OFF", { value: world.newValue() });
    await world.call("POST", `${world[place]}/secrets/OFF/disable`);
    const env = await exported("env");
    expect(env.text).toContain(`PLAIN=${plain}`);
    expect(env.text).not.toContain(limited);
    expect(env.withheld.map(({ name }) => name).sort()).toEqual(["LIMITED", "OFF", "SEALED"]);
    const json = await exported("json");
    expect([json.text.includes(limited), json.text.includes(hidden)]).toEqual([true, false]);
    expect(json.withheld.map(({ name }) => name).sort()).toEqual(["OFF", "SEALED"]);
    const back = await send({ text: json.text, dryRun: true });
    expect(back.body.changes.map(({ name, action }) => [name, action])).toEqual([
      ["LIMITED", "same"],
      ["PLAIN", "same"],
    ]);
  });

  test("wrong requests to import and export are refused by their place", async () => {
    const value = world.newValue();
    for (const [path, body, pointer] of [
      ["import", {}, "/body/text"],
      ["import", { text: { A: value } }, "/body/text"],
      ["import", { text: value, format: value }, "/body/format"],
      ["import", { text: value, overwrite: "yes" }, "/body/overwrite"],
      ["import", { text: value, dryrun: true }, "/body"],
      ["export", {}, "/body/format"],
      ["export", { format: value }, "/body/format"],
    ] as const) {
      const answer = await world.call("POST", `${world[place]}/secrets-${path}`, { body });
      expect([pointer, answer.status]).toEqual([pointer, 400]);
      expect(answer.body.errors?.map((error) => error.pointer)).toContain(pointer);
    }
  });
});

describe("the size of an import over HTTP", () => {
  test("is what the vault takes, and more is refused before it is read", async () => {
    expect(importTextCharactersMax).toBe(secretsTextBytesMax);
    const line = `# ${"\u0001".repeat(100)}\n`;
    const text = `BIG=${world.newValue()}\n${line.repeat(10_000)}`;
    const path = `${world.inProject}/secrets-import`;
    expect((await world.call("POST", path, { body: { text: "x".repeat(importTextCharactersMax + 1) } })).status).toBe(
      400,
    );
    expect((await world.call("POST", path, { body: { text: text.slice(0, 1_000_000), dryRun: true } })).status).toBe(
      200,
    );
    expect((await world.call("POST", path, { body: { text: "\u0001".repeat(4_000_000) } })).status).toBe(413);
  });
});
