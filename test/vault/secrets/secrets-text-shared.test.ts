/**
 * Goal: `.env` lines that Stepvault writes are read back exactly by itself for every value, by each other reader for the values
 * that docs/secrets-files.md promises, and for no value does a reader find an assignment that was not written. Method:
 * properties over hostile values, against the readers of secrets-text-readers.ts; a real shell with real files among them.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatSecretsText, parseSecretsText } from "../../../vault/secrets/secrets-text.ts";
import { hostileValues } from "../../runtime/binding/hostile-values.ts";
import { readDocker, readDotenv, readNode, readPython, readShell, type Reader } from "./secrets-text-readers.ts";

const pieces = `' " \` \\ # = $ ~ ! ; & - n a é 😀 \${HOME} {a,b} EVIL=1 $(touch$IFSevil) \`touch$IFSevil\` \\' \\"`
  .split(" ")
  .concat(["\n", "\r", "\r\n", "\0", "\x1b", "\x85", "\u00a0", "\u2028", "\uFEFF", "\t", " ", " #", "\\\n"])
  .concat(["\nEVIL=1\n", "\nexport EVIL=1\n", "$(touch evil)", "`touch evil`", "' #", "# '", '" # "'])
  .concat(["';touch evil;'", '";touch evil;"']);
const value = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.array(fc.constantFrom(...pieces), { minLength: 1, maxLength: 8 }).map((all) => all.join("")),
  },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 40 }) },
  { weight: 1, arbitrary: fc.constantFrom(...Object.values(hostileValues)) },
);
/** Values of an attacker's between values of somebody else. */
const values = fc.array(value, { minLength: 1, maxLength: 8 });
const harmless = ["plain", "it's", "#x", "a\nb"];

function entriesOf(hostile: readonly string[]): { name: string; value: string }[] {
  return hostile.flatMap((value, i) => [
    { name: `HOSTILE_${i}`, value },
    { name: `OTHER_${i}`, value: harmless[i % harmless.length]! },
  ]);
}

interface Case {
  reader: string;
  read: Reader;
  runs: number;
  /** What docs/secrets-files.md says of it. */
  holds: (value: string) => boolean;
}

const escaped = (text: string): boolean => /['\r]/.test(text) && /["$`\\\r]/.test(text);
const cases: Case[] = [
  {
    reader: "a POSIX shell",
    read: readShell,
    runs: 150,
    holds: (text) => !/[\0\r]/.test(text) && !(escaped(text) && text.includes("\n")),
  },
  { reader: "dotenv", read: readDotenv, runs: 1_000, holds: (text) => !(/['\r]/.test(text) && /["$`\\]/.test(text)) },
  { reader: "Node's --env-file", read: readNode, runs: 1_000, holds: (text) => !escaped(text) },
  {
    reader: "python-dotenv",
    read: readPython,
    runs: 1_000,
    holds: (text) => !text.endsWith("\\") && !(/['\r]/.test(text) ? /[$`]/ : /\\\\/).test(text),
  },
];

describe("what is written as .env lines", () => {
  test("is read back exactly, whatever the values are", () => {
    const check = (hostile: string[]): void => {
      const entries = entriesOf(hostile);
      const { entries: back, faults } = parseSecretsText(formatSecretsText(entries, "env"), { format: "env" });
      expect(faults).toEqual([]);
      expect(back.map(({ name, value }) => ({ name, value }))).toEqual(entries);
    };
    fc.assert(fc.property(values, check), { numRuns: 2_000 });
    check(Object.values(hostileValues));
    check(
      ["'", '"', "\\", "\r", "\0", "é"].map((character) => character.repeat(65_536 / Buffer.byteLength(character))),
    );
  });

  for (const { reader, read, runs, holds } of cases) {
    test(`is read by ${reader}: each value that it can hold exactly, and no other assignment`, () => {
      const check = (hostile: string[]): void => {
        const entries = entriesOf(hostile);
        const found = read(formatSecretsText(entries, "env"))!;
        const names = new Set(entries.map(({ name }) => name));
        expect([...found.keys()].filter((name) => !names.has(name))).toEqual([]);
        const promised = entries.filter(({ name, value }) => name.startsWith("OTHER") || holds(value));
        expect(promised.map(({ name }) => [name, found.get(name)])).toEqual(
          promised.map(({ name, value }) => [name, value]),
        );
      };
      fc.assert(fc.property(values, check), { numRuns: runs });
      check(Object.values(hostileValues));
      check(["~", "~/x", "a:~", "$HOME", "a#b", "a;b"]);
      check(["ends in \\", "\nEVIL=1\n", "it's \\", "'\nEVIL=1\n", "#'\" \\", "#", `it's "\nEVIL=1\n"`]);
    });
  }

  test("is read exactly by docker --env-file, or refused by it", () => {
    const seen = { read: 0, refused: 0 };
    const check = (hostile: string[]): void => {
      const entries = hostile.map((value, i) => ({ name: `N${i}`, value }));
      const found = readDocker(formatSecretsText(entries, "env"));
      seen[found === undefined ? "refused" : "read"] += 1;
      const pairs = entries.map(({ name, value }): [string, string] => [name, value]);
      expect(found ?? new Map(pairs)).toEqual(new Map(pairs));
    };
    fc.assert(fc.property(values, check), { numRuns: 1_000 });
    check(["sk-Abc_1.2/3:4@5%6+7,8=", "!*?^{}[]"]);
    expect(seen.read).toBeGreaterThan(0);
    expect(seen.refused).toBeGreaterThan(0);
  });

  test("is plain for a plain value, and in single quotes for a key of several lines", () => {
    const pem = "-----BEGIN KEY-----\nMIIB==\n-----END KEY-----\n";
    expect(
      formatSecretsText(
        [
          { name: "A", value: "sk-1" },
          { name: "B", value: pem },
        ],
        "env",
      ),
    ).toBe(`A=sk-1\nexport B='${pem}'\n`);
  });
});
