/**
 * The form of platform keys. Goal: a mistyped key is told from its characters alone, a scanner finds every key, and nothing
 * but a hint is ever shown. Method: properties over keys of every kind and region; a vector that Python computed.
 */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  digestKey,
  generateKey,
  hintOf,
  type KeyKind,
  parseKey,
  randomText,
  regions,
  scannerPattern,
} from "../../../vault/platform-keys/key-format.ts";

const kinds: readonly KeyKind[] = ["project", "organization", "embed"];
const anyKey = fc
  .tuple(fc.constantFrom(...kinds), fc.constantFrom(...regions))
  .map(([kind, region]) => ({ kind, region, key: generateKey(kind, region) }));
/** Mostly what a key consists of, sometimes anything. */
const anyCharacter = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...Array.from("0123456789ABCXYZabcxyzskeuorg-_")) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 1 }) },
);

describe("a platform key's form", () => {
  test("tells kind and region of every key that is made", () => {
    fc.assert(
      fc.property(anyKey, ({ kind, region, key }) => {
        expect(parseKey(key)).toEqual({ ok: true, kind, region, hint: hintOf(key) });
      }),
    );
  });

  test("is the documented one: prefix, 43 random characters, CRC-32 of all before in base 62", () => {
    // In Python: crc32(b"sk-eu_" + b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg"), then divmod by 62 six times.
    const body = "sk-eu_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg";
    expect(parseKey(`${body}0i6EdC`)).toMatchObject({ ok: true, kind: "project", region: "eu" });
    expect(generateKey("project", "us")).toMatch(/^sk-us_[0-9A-Za-z]{49}$/);
    expect(generateKey("organization", "au")).toMatch(/^sk-org-au_[0-9A-Za-z]{49}$/);
    expect(generateKey("embed", "eu")).toMatch(/^ek-eu_[0-9A-Za-z]{49}$/);
  });

  test("notices every change of one character, prefix and checksum included", () => {
    fc.assert(
      fc.property(anyKey, fc.nat(), anyCharacter, ({ key }, place, character) => {
        const index = place % key.length;
        fc.pre(key[index] !== character);
        expect(parseKey(key.slice(0, index) + character + key.slice(index + 1)).ok).toBe(false);
      }),
      { numRuns: 3_000 },
    );
  });

  test("notices two neighbours that changed places, a character too few and one too many", () => {
    fc.assert(
      fc.property(anyKey, fc.nat(), anyCharacter, ({ key }, place, character) => {
        const index = place % (key.length - 1);
        const [before, first, second, after] = [
          key.slice(0, index),
          key[index]!,
          key[index + 1]!,
          key.slice(index + 2),
        ];
        expect(parseKey(before + second + first + after).ok).toBe(first === second);
        expect(parseKey(before + second + after).ok).toBe(false);
        expect(parseKey(before + character + first + second + after).ok).toBe(false);
      }),
    );
  });

  test("a wrong checksum and another form are different answers", () => {
    const key = generateKey("project", "us");
    const other = key.endsWith("0") ? "1" : "0";
    expect(parseKey(key.slice(0, -1) + other)).toEqual({ ok: false, why: "checksum" });
    for (const text of ["", "sk-", `${key} `, ` ${key}`, `${key}\n`, key.replace("-us", "-xx"), key.toUpperCase()])
      expect(parseKey(text)).toEqual({ ok: false, why: "malformed" });
  });

  test("a hint is the prefix and the last four characters", () => {
    const key = generateKey("organization", "eu");
    expect(hintOf(key)).toBe(`sk-org-eu_…${key.slice(-4)}`);
  });

  test("characters are drawn evenly, and no two keys are the same", () => {
    const keys = Array.from({ length: 2_000 }, () => randomText(43));
    expect(new Set(keys).size).toBe(keys.length);
    const counts = Map.groupBy(keys.join(""), (character) => character);
    expect(counts.size).toBe(62);
    const mean = (2_000 * 43) / 62;
    // A remainder instead of drawing again would give eight of them a fifth more.
    for (const { length } of counts.values()) expect(Math.abs(length - mean)).toBeLessThan(mean * 0.15);
  });

  test("a digest depends on the key and on the pepper", () => {
    const [one, other] = [generateKey("project", "us"), generateKey("project", "us")];
    const digests = [one, other].flatMap((key) => [1, 2].map((byte) => digestKey(Buffer.alloc(32, byte), key)));
    expect(new Set(digests.map((digest) => digest.toString("hex"))).size).toBe(4);
    expect(digests.map(({ length }) => length)).toEqual([32, 32, 32, 32]);
  });
});

describe("the scanner's pattern", () => {
  test("is the one that docs/keys-api.md publishes", () => {
    const page = readFileSync(new URL("../../../docs/keys-api.md", import.meta.url), "utf8");
    expect(page).toContain(`\n${scannerPattern}\n`);
  });

  test("finds every key in a text, whole, and nothing that is too long or too short", () => {
    fc.assert(
      fc.property(fc.array(anyKey, { minLength: 1, maxLength: 5 }), (made) => {
        const keys = made.map(({ key }) => key);
        const text = keys.map((key) => `{"key":"${key}", url=https://x.example/?k=${key}&y=1}`).join("\n");
        const found = text.match(new RegExp(scannerPattern, "g"));
        expect(found).toEqual(keys.flatMap((key) => [key, key]));
        for (const key of keys) expect(`${key}a ${key.slice(0, -1)} x${key}`).not.toMatch(new RegExp(scannerPattern));
      }),
    );
  });
});
