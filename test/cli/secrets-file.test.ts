/**
 * Goal: a secrets file gives each secret its value and policy, and a wrong one is told by entry and rule, never by what
 * stands in it. Real files. What the formats mean is tested with vault/secrets/secrets-text.ts.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readSecretsFile } from "../../cli/secrets-file.ts";
import { readablePolicy } from "../../protocol/secret-policy.ts";
import { secretValueBytesMax, type SecretValue } from "../../protocol/secret.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stepvault-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function read(content: unknown): SecretValue[] {
  const file = path.join(folder, "secrets");
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return readSecretsFile(file);
}

function failureOf(content: unknown): Error & { code: string } {
  try {
    read(content);
  } catch (error) {
    return error as Error & { code: string };
  }
  return expect.unreachable("it should have failed");
}

const shown = (secrets: SecretValue[]): unknown[] =>
  secrets.map((secret) => [secret.name, secret.expose(), secret.policy]);

describe("a secrets file", () => {
  test("of JSON strings or .env lines gives readable secrets", () => {
    const secrets = [
      ["A", "one", readablePolicy],
      ["B", "x y", readablePolicy],
    ];
    expect(shown(read({ A: "one", B: "x y" }))).toEqual(secrets);
    expect(shown(read(`# keys\nexport A=one\n\nB="x y"\n`))).toEqual(secrets);
  });

  test("of JSON objects gives each secret the policy that stands beside its value", () => {
    const secrets = read({
      PLAIN: "one",
      ALSO_PLAIN: { value: "two" },
      LISTED: { value: "three", hosts: ["api.example.com"] },
      SEALED: { value: "12345678", sealed: true, hosts: ["*.example.com"], places: { body: true } },
    });
    expect(shown(secrets)).toEqual([
      ["PLAIN", "one", readablePolicy],
      ["ALSO_PLAIN", "two", readablePolicy],
      ["LISTED", "three", { ...readablePolicy, hosts: ["api.example.com"] }],
      [
        "SEALED",
        "12345678",
        { ...readablePolicy, sealed: true, hosts: ["*.example.com"], places: { ...readablePolicy.places, body: true } },
      ],
    ]);
  });

  test("that does not exist is told by its role", () => {
    expect(() => readSecretsFile(path.join(folder, "hunter2"))).toThrow("Cannot read the secrets file: ENOENT");
  });

  test("that is not UTF-8 is refused, as its values would become other ones in silence", () => {
    const file = path.join(folder, "secrets");
    for (const bytes of [Buffer.from("A=hunter2-\u00e9", "latin1"), Buffer.from("\uFEFFA=hunter2", "utf16le")]) {
      writeFileSync(file, bytes);
      expect(() => readSecretsFile(file)).toThrow("Cannot read the secrets file: it is not UTF-8 text");
    }
  });

  test("with several faults tells all of them, and gives no secret", () => {
    expect(failureOf("A=1\nhunter2\nB='hunter2'hunter2\na=2\n")).toMatchObject({
      code: "ERR_SECRETS_TEXT_INVALID",
      message:
        "Cannot read the secrets file: 3 faults: line 2: it has no = after a name; " +
        'line 3: text follows its closing quote; within double quotes a quote is \\"; ' +
        "line 4: its name differs in case only from that of line 1",
    });
  });
});

describe("a wrong secrets file is not repeated", () => {
  test.each<[string, object, string]>([
    ["a key among the hosts", { hosts: ["a.b", "hunter2 key/+="] }, "hosts.1: [METHODS ][scheme://]host[:port]"],
    ["a key for a field", { hunter2: true }, "the policy has 1 unknown key(s)"],
    ["a key for a place", { places: { hunter2: true } }, "places has 1 unknown key(s)"],
    ["sealed without hosts", { sealed: true }, "the policy: a sealed secret needs the hosts that it is for"],
    ["a word for a switch", { sealed: "hunter2" }, "sealed: Invalid input: expected boolean, received string"],
  ])("with a policy that has %s", (_, policy, rule) => {
    const failure = failureOf({ FIRST: "one", hunter2: { value: "hunter2-hunter2", ...policy } });
    expect(failure).toMatchObject({
      code: "ERR_SECRET_POLICY_INVALID",
      message: `Cannot read the secrets file: entry 2: ${rule}`,
    });
    expect(failure.message).not.toContain("hunter2");
  });

  test.each([
    ["a sealed value of seven characters", " hunter2 "],
    ["a sealed value of seven emoji", "🔑🔑🔑🔑🔑🔑🔑"],
  ])("with %s", (_, value) => {
    expect(failureOf({ FIRST: "one", KEY: { value, sealed: true, hosts: ["a.b"] } })).toMatchObject({
      code: "ERR_SECRET_VALUE_INVALID",
      message:
        "Cannot read the secrets file: entry 2: its value has 7 characters, blanks around it aside; a sealed one needs 8",
    });
  });

  test.each([
    ["a number", 2],
    ["null", null],
    ["a list", ["hunter2"]],
    ["an object without a value", { sealed: false }],
    ["an object whose value is no string", { value: { hunter2: 1 } }],
  ])("with %s for an entry", (_, entry) => {
    expect(failureOf({ FIRST: "one", KEY: entry })).toMatchObject({
      code: "ERR_SECRET_VALUE_INVALID",
      message: "Cannot read the secrets file: entry 2: it is neither a string nor an object whose value is one",
    });
  });

  test.each([
    ["JSON that does not parse", "{ hunter2", "text: it is not a JSON object"],
    ["an empty value", { A: { value: "" } }, "entry 1: its value has 0 bytes; 1 to 65536 are allowed"],
    [
      "a value too large",
      { A: "x".repeat(secretValueBytesMax + 1) },
      "entry 1: its value has 65537 bytes; 1 to 65536 are allowed",
    ],
    ["an .env line without a value", "A=1\nhunter2\n", "line 2: it has no = after a name"],
    [
      "a name that is none",
      { "hunter2!": "one" },
      "entry 1: its name of 8 characters is not a letter or underscore, then letters, digits, underscores; at most 128",
    ],
  ])("with %s", (_, content, why) => {
    expect(failureOf(content).message).toBe(`Cannot read the secrets file: ${why}`);
  });
});
