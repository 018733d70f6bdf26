/**
 * Keys of the client library. Goal: a key that cannot work is told before a request, an embed key survives being stored,
 * and an `sk-` key shows nowhere. Method: keys as the vault makes them; every way that we know of to print an object.
 * No test here has a server to reach: that a key asks nobody is checked by taking `fetch` away.
 */
import { formatWithOptions, inspect } from "node:util";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Client } from "../../client/client.ts";
import { Key, type KeyFields } from "../../client/key.ts";
import { readKey } from "../../client/key-form.ts";
import { generateKey, type KeyKind, parseKey, regions } from "../../vault/platform-keys/key-format.ts";
import {
  agentId,
  codeOf,
  embedKey,
  failureOf,
  newEmbedKey,
  newServerKey,
  project,
  serverKey,
  taskPrefix,
  workforceId,
} from "./server.ts";

const embedFields = { key: embedKey, region: "eu", project, agentId, taskPrefix } as const;
const serverFields = { key: serverKey, region: "eu", project } as const;
const made = async (fields: object): Promise<string | undefined> => {
  try {
    return new Key(fields as KeyFields).hint;
  } catch (error) {
    return await codeOf(Promise.reject(error));
  }
};

beforeEach(() => {
  vi.stubGlobal("fetch", () => {
    throw new Error("A key must not ask anybody");
  });
});
afterEach(() => vi.unstubAllGlobals());

describe("a key's form", () => {
  test("is read as the vault reads it, for every kind and region", () => {
    for (const kind of ["project", "organization", "embed"] satisfies KeyKind[])
      for (const region of regions) {
        const key = generateKey(kind, region);
        const parsed = parseKey(key) as { hint: string };
        expect(readKey(key)).toEqual({ ok: true, embed: kind === "embed", region, hint: parsed.hint });
      }
  });

  test("is refused as the vault refuses it, whatever was changed", () => {
    const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_ ";
    const change = fc.tuple(fc.nat(54), fc.constantFrom(...alphabet.split("")));
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const characters = serverKey.split("");
        for (const [index, character] of changes) characters[index] = character;
        const text = characters.join("");
        const [ours, theirs] = [readKey(text), parseKey(text)];
        expect(ours).toMatchObject(theirs.ok ? { ok: true, hint: theirs.hint } : theirs);
      }),
      { numRuns: 2000 },
    );
  });

  test("requirement 32: a key of another region, mistyped or cut is refused offline, by its own code", async () => {
    const mistyped = serverKey.slice(0, -1) + (serverKey.endsWith("0") ? "1" : "0");
    expect(await made({ ...serverFields, key: mistyped })).toBe("ERR_KEY_CHECKSUM");
    for (const key of [serverKey.slice(0, -1), ` ${serverKey}`, `${serverKey}\n`, "", undefined, null, 5, [serverKey]])
      expect(await made({ ...serverFields, key })).toBe("ERR_KEY_MALFORMED");
    for (const region of ["us", "au"]) expect(await made({ ...serverFields, region })).toBe("ERR_KEY_REGION");
    for (const region of ["EU", "bcbe5a", "", undefined, "__proto__"])
      expect(await made({ ...serverFields, region })).toBe("ERR_CLIENT_INVALID");
    expect(await made(serverFields)).toBe(newServerKey().hint);
  });

  test("must come with what belongs to it, and with nothing that only looks as if it did", async () => {
    for (const missing of ["agentId", "taskPrefix", "project"])
      expect(await made({ ...embedFields, [missing]: undefined })).toBe("ERR_KEY_INVALID");
    for (const more of [{ agentId }, { workforceId }, { taskPrefix }])
      expect(await made({ ...serverFields, ...more })).toBe("ERR_KEY_INVALID");
    for (const wrong of ["", "a:b", "a\r\nx: y", "ü", "a/b", 5, "x".repeat(129)]) {
      expect(await made({ ...serverFields, project: wrong })).toBe("ERR_KEY_INVALID");
      expect(await made({ ...embedFields, agentId: wrong })).toBe("ERR_KEY_INVALID");
      expect(await made({ ...embedFields, taskPrefix: wrong })).toBe("ERR_KEY_INVALID");
    }
  });

  test("is in no error, not even when the key stands in another field's place", async () => {
    const wrong: object[] = [
      { ...serverFields, key: serverKey.slice(0, -1) },
      { ...serverFields, key: `${serverKey.slice(0, -1)}-` },
      { ...serverFields, region: "us" },
      { ...serverFields, region: serverKey },
      { ...serverFields, project: `${serverKey}/` },
      { ...serverFields, agentId: serverKey },
      { ...embedFields, taskPrefix: `${embedKey}/` },
    ];
    for (const fields of wrong) {
      const error = await failureOf(() => new Key(fields as KeyFields));
      expect(inspect(error) + JSON.stringify(error)).not.toMatch(/[0-9A-Za-z]{30}/);
    }
  });
});

describe("an embed key", () => {
  test("requirement 36: toJSON is a plain object with every field to rebuild it", () => {
    const json = newEmbedKey().toJSON();
    expect(json).toStrictEqual({ key: embedKey, region: "eu", project, agentId, taskPrefix });
    const forWorkforce = new Key({ ...embedFields, agentId: undefined, workforceId });
    expect(forWorkforce.toJSON()).toStrictEqual({ key: embedKey, region: "eu", project, workforceId, taskPrefix });
  });

  test("requirement 35: is restored by the constructor from stored JSON, and asks nobody", () => {
    const key = newEmbedKey();
    const stored = JSON.stringify(key);
    const restored = new Key(JSON.parse(stored) as KeyFields);
    expect([restored.isEmbed(), restored.hint, restored.toJSON()]).toEqual([true, key.hint, key.toJSON()]);
    expect(new Key(key.toJSON()).toJSON()).toEqual(key.toJSON());
  });

  test("is shown by its own JSON, which is for storing it, and neither by its client's nor by a console", () => {
    const key = newEmbedKey();
    const client = new Client(key, { baseUrl: "https://api.example.com" });
    const shown = [
      inspect([key, client], { depth: 9, showHidden: true }),
      JSON.stringify({ client }),
      String(key),
    ].join();
    expect(shown).not.toContain(embedKey.slice(6, -6));
    expect(JSON.stringify(key)).toContain(embedKey);
  });

  test("of an agent and a workforce is the workforce's", () => {
    const key = new Key({ ...embedFields, workforceId });
    expect([key.agentId, key.workforceId, "agentId" in key.toJSON()]).toEqual([undefined, workforceId, false]);
  });
});

describe("an sk- key", () => {
  test("is not written out by toJSON, and what is can be read and not used", async () => {
    const summary = newServerKey().toJSON();
    expect(summary).toStrictEqual({ hint: newServerKey().hint, region: "eu", project });
    const error = await failureOf(() => new Key(JSON.parse(JSON.stringify(newServerKey())) as KeyFields));
    expect([error.code, error.message]).toEqual(["ERR_KEY_INVALID", expect.stringContaining("sk- key")]);
  });

  test("shows as its hint only, however the key or its client is printed, copied or searched", () => {
    const key = newServerKey();
    const client = new Client(key, { baseUrl: "https://api.example.com" });
    for (const one of [key, client, { deep: { one: [key, client] } }, new Error("x", { cause: client })]) {
      const shown = printed(one);
      expect(shown).not.toContain(serverKey.slice(6, -6));
      expect(shown).toContain(key.hint);
    }
    expect([String(key), String(client)]).toEqual([`Key(${key.hint})`, `Client(${key.hint})`]);
  });

  test("stays with the project and region that it was checked with", () => {
    const key = newServerKey();
    expect(() => Object.assign(key, { project: "another", region: "us" })).toThrow(TypeError);
    expect([key.project, key.region]).toEqual([project, "eu"]);
  });

  test("has no copies: what only looks like a key is refused", async () => {
    const key = newServerKey();
    const copies = [new Proxy(key, {}), Object.assign(Object.create(Key.prototype) as Key, key), structuredClone(key)];
    for (const copy of copies) expect(await codeOf(() => new Client(copy))).toBe("ERR_KEY_INVALID");
  });
});

/** Everything that prints or copies an object here. */
function printed(one: unknown): string {
  const options = { depth: 9, showHidden: true, getters: true } as const;
  const copies: unknown[] = [{ ...(one as object) }, Object.entries(one as object)];
  try {
    copies.push(structuredClone(one));
  } catch {
    // What cannot be copied is not shown by its copy.
  }
  const texts = [one, ...copies].flatMap((each) => [
    inspect(each, options),
    formatWithOptions(options, "%o %O %j %s", each, each, each, each),
    JSON.stringify(each) ?? "",
  ]);
  return texts.join("\n");
}
