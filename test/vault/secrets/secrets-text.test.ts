/**
 * Goal: a text of secrets gives each secret what stands in it, or every fault at once by place and rule and never by content;
 * what is written is read back, and what would not be is refused. Method: examples, attacks on the parser, and properties.
 */
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readablePolicy, type SecretPolicy, secretPolicySchema } from "../../../protocol/secret-policy.ts";
import { secretValueBytesMax } from "../../../protocol/secret.ts";
import {
  formatSecretsText,
  parseSecretsText,
  secretsTextBytesMax,
  type SecretsFormat,
  type SecretsTextEntry,
} from "../../../vault/secrets/secrets-text.ts";
import { throwSecretsFaults } from "../../../vault/secrets/secrets-text-faults.ts";

const sealed: SecretPolicy = secretPolicySchema.parse({ sealed: true, hosts: ["api.example.com"] });

function read(text: string, format?: SecretsFormat): SecretsTextEntry[] {
  const { entries, faults } = parseSecretsText(text, { format });
  expect(faults).toEqual([]);
  return entries;
}

function faultsOf(text: unknown): string[] {
  const { faults } = parseSecretsText(typeof text === "string" ? text : JSON.stringify(text), { format: "json" });
  return faults.map(({ place, rule, code }) => `${code} ${place}: ${rule}`);
}

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return expect.unreachable("it should have failed");
}

describe("a text of secrets", () => {
  test("is JSON when it begins with a brace, and .env lines otherwise or when that is said", () => {
    for (const text of ['{"A":"one"}', '\uFEFF\r\n {"A":"one"}\n'])
      expect(read(text)).toMatchObject([{ name: "A", value: "one", place: "entry 1" }]);
    expect(read("A=one")).toMatchObject([{ name: "A", value: "one", place: "line 1" }]);
    expect(parseSecretsText('{"A":"one"}', { format: "env" }).faults).toHaveLength(1);
    expect(parseSecretsText("A=one", { format: "json" }).faults).toHaveLength(1);
    expect(read("")).toEqual([]);
  });

  test("gives what JSON says of a secret besides its value, and undefined for what it does not say", () => {
    const fields = { sealed: true, hosts: ["api.example.com"], description: "of the shop", tags: ["shop", "eu"] };
    const [plain, full, empty] = read(
      JSON.stringify({ A: "one", B: { value: "two-two-two", ...fields }, C: { value: "3" } }),
    );
    expect(plain).toEqual({
      name: "A",
      value: "one",
      place: "entry 1",
      policy: undefined,
      description: undefined,
      tags: undefined,
    });
    expect(full).toEqual({
      name: "B",
      value: "two-two-two",
      place: "entry 2",
      policy: sealed,
      description: "of the shop",
      tags: ["shop", "eu"],
    });
    expect(empty?.policy).toBeUndefined();
  });

  test("with one fault is an error of that fault's code, and with several one that lists ten and counts all", () => {
    const one = thrownBy(() => throwSecretsFaults(parseSecretsText("A=1\n1=hunter2").faults, "try"));
    expect(one).toMatchObject({
      code: "ERR_SECRET_NAME_INVALID",
      message:
        "Cannot try: line 2: its name of 1 characters is not a letter or underscore, then letters, digits, underscores; at most 128",
    });
    const many = thrownBy(() => throwSecretsFaults(parseSecretsText("hunter2\n".repeat(12)).faults, "try")) as Error;
    expect(many).toMatchObject({ code: "ERR_SECRETS_TEXT_INVALID" });
    expect(many.message).toMatch(
      /^Cannot try: 12 faults: line 1: it has no = after a name; line 2: .*line 10: [^;]*; and 2 more$/,
    );
    expect(many.message).not.toContain("hunter2");
  });

  test("has its faults in the order of the text, and no entry that has one", () => {
    const { entries, faults } = parseSecretsText("A=1\na=2\nB\n2=x\nC=3\n");
    expect(faults.map(({ place }) => place)).toEqual(["line 2", "line 3", "line 4"]);
    expect(entries.map(({ name }) => name)).toEqual(["A", "C"]);
  });

  test("holds at most 1,000 entries and 4 MiB", () => {
    const lines = (count: number): string => Array.from({ length: count }, (_, i) => `A${i}=x\n`).join("");
    const json = (count: number): string =>
      JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`A${i}`, "x"])));
    for (const text of [lines(1_000), json(1_000)]) expect(read(text)).toHaveLength(1_000);
    expect(parseSecretsText(lines(1_001)).faults).toMatchObject([
      { place: "line 1001", rule: "the text has more than 1000 entries" },
    ]);
    expect(parseSecretsText(json(1_001)).faults).toMatchObject([{ rule: "it has 1001 entries; 1000 are allowed" }]);
    const comment = `#${"é".repeat(secretsTextBytesMax / 2 - 4)}`;
    expect(read(`${comment}\nA=one`)).toHaveLength(1);
    expect(parseSecretsText(`${comment}\nA=one!!`).faults).toMatchObject([
      { rule: "it has 4194305 bytes; 4194304 are allowed" },
    ]);
  });

  test("holds values of 1 to 65,536 bytes of Unicode text", () => {
    expect(read(JSON.stringify({ A: "é".repeat(secretValueBytesMax / 2) }))).toHaveLength(1);
    expect(faultsOf({ A: "é".repeat(secretValueBytesMax / 2 + 1) })).toEqual([
      "ERR_SECRET_VALUE_INVALID entry 1: its value has 65538 bytes; 1 to 65536 are allowed",
    ]);
    expect(faultsOf('{"A": "\\ud800"}')).toEqual(["ERR_SECRET_VALUE_INVALID entry 1: its value is not Unicode text"]);
  });
});

describe("JSON of secrets", () => {
  test("has no key twice, however it is written and wherever it stands", () => {
    expect(faultsOf(String.raw`{"A": "hunter2", "\u0041": "hunter2"}`)).toEqual([
      "ERR_SECRETS_TEXT_INVALID entry 2: its name is that of entry 1",
    ]);
    expect(faultsOf('{"A": "one", "a": "two"}')).toEqual([
      "ERR_SECRETS_TEXT_INVALID entry 2: its name differs in case only from that of entry 1",
    ]);
    const policy = '"sealed": true, "hosts": ["a.b"]';
    for (const fields of [
      '"sealed": false, "sealed" : true, "hosts": ["a.b"]',
      String.raw`"value": "hunter2-hunter3", "valu\u0065"` + `:"x", ${policy}`,
      `${policy}, "places": {"body": false, "body"\n: true}`,
    ])
      expect(faultsOf(`{"A": "one", "B": {"value": "hunter2-hunter2", ${fields}}}`)).toContain(
        "ERR_SECRETS_TEXT_INVALID entry 2: one of its keys stands twice",
      );
  });

  test("may hold the same keys in several objects, and keys, braces and quotes within values", () => {
    const entry = { value: 'value": {"value": "\\" [', sealed: true, hosts: ["a.b"], places: { body: true } };
    expect(read(JSON.stringify({ A: entry, B: entry, value: "{", C: ":" }))).toHaveLength(4);
  });

  test("has its entries counted in the order of the text, in which JavaScript does not keep them", () => {
    expect(faultsOf('{"A": "one", "1": "two"}')[0]).toMatch(/^ERR_SECRET_NAME_INVALID entry 2:/);
    expect(faultsOf('{"A": 2, "1": "two"}')[0]).toMatch(/^ERR_SECRET_VALUE_INVALID entry 1:/);
  });

  test("makes no prototype: __proto__ is a name like others, and no field", () => {
    const [entry, other] = read('{"__proto__": "one", "constructor": "two"}');
    expect([entry?.name, entry?.value, other?.name]).toEqual(["__proto__", "one", "constructor"]);
    expect(faultsOf('{"A": {"value": "hunter2-hunter2", "__proto__": {"sealed": true, "hosts": ["a.b"]}}}')).toEqual([
      "ERR_SECRET_POLICY_INVALID entry 1: the policy has 1 unknown key(s)",
    ]);
    expect(faultsOf('{"A": {"value": "x", "places": {"__proto__": {"body": true}}}}')).toEqual([
      "ERR_SECRET_POLICY_INVALID entry 1: places has 1 unknown key(s)",
    ]);
    expect(faultsOf('{"A": {"__proto__": {"value": "hunter2-hunter2"}}}')[0]).toMatch(/^ERR_SECRET_VALUE_INVALID/);
    expect(faultsOf('{"__proto__": {"value": "x", "__proto__": "x"}}')).toHaveLength(1);
    expect(({} as { sealed?: unknown }).sealed).toBeUndefined();
  });

  test.each<[string, unknown, string]>([
    ["a list", "[]", "ERR_SECRETS_TEXT_INVALID text: it is not a JSON object"],
    ["no JSON", '{"A": hunter2}', "ERR_SECRETS_TEXT_INVALID text: it is not a JSON object"],
    ["cut JSON", '{"A": "hunter2', "ERR_SECRETS_TEXT_INVALID text: it is not a JSON object"],
    ["null", "null", "ERR_SECRETS_TEXT_INVALID text: it is not a JSON object"],
    [
      "a description that is none",
      { A: { value: "x", description: 1 } },
      "ERR_SECRET_METADATA_INVALID entry 1: its description is no text",
    ],
    [
      "tags that are none",
      { A: { value: "x", tags: ["a", 1] } },
      "ERR_SECRET_METADATA_INVALID entry 1: its tags are no list of texts",
    ],
    [
      "a host with the value",
      { A: { value: "hunter2-x", hosts: ["hunter2-x.com"] } },
      "ERR_SECRET_POLICY_INVALID entry 1: its policy holds the value itself",
    ],
    [
      "a key for a field",
      { A: { value: "x", hunter2: 1 } },
      "ERR_SECRET_POLICY_INVALID entry 1: the policy has 1 unknown key(s)",
    ],
    [
      "a policy of a book's length",
      { A: { value: "x", hosts: ["x".repeat(70_000)] } },
      "ERR_SECRET_POLICY_INVALID entry 1: its policy has 70014 characters; 65536 are allowed",
    ],
  ])("that is or has %s is told without what stands there", (_, text, fault) => {
    expect(faultsOf(text)).toEqual([fault]);
    expect(fault).not.toContain("hunter2");
  });

  test("of an attacker's, nested deeply or of a million wrong things, is refused in no time", () => {
    const started = performance.now();
    const deep = '{"a":'.repeat(500_000);
    expect(faultsOf(`{"A": ${deep}1${"}".repeat(500_000)}}`)).toEqual([
      "ERR_SECRETS_TEXT_INVALID text: it is nested 17 deep; 16 are allowed",
    ]);
    expect(faultsOf(`{"A": {"value": "x", "hosts": [${"1,".repeat(1_900_000)}1]}}`)).toHaveLength(1);
    expect(faultsOf(`{"A": "${"\\u0041".repeat(600_000)}"}`)).toHaveLength(1);
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe("a text of secrets that is written", () => {
  const name = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]{0,20}$/);
  const value = fc.oneof(
    fc.string({ unit: "binary", minLength: 1 }),
    fc.constantFrom("\u2028", '"', "\\", "\0", "\uFEFF", "{", "__proto__", "x".repeat(secretValueBytesMax)),
  );
  const entry = fc.record(
    {
      name: fc.oneof(name, fc.constant("__proto__")),
      value,
      policy: fc.constantFrom(readablePolicy, { ...readablePolicy, hosts: ["*.example.com"] }),
      description: fc.string({ unit: "binary" }),
      tags: fc.array(fc.string({ unit: "binary" })),
    },
    { requiredKeys: ["name", "value"] },
  );
  const set = fc.uniqueArray(entry, { selector: (one) => one.name.toLowerCase(), maxLength: 6 });

  test("as JSON is read back with all that is known of each secret", () => {
    const check = (entries: SecretsTextEntry[]): void => {
      const back = read(formatSecretsText(entries, "json"));
      const unsaid = { policy: undefined, description: undefined, tags: undefined };
      expect(back).toEqual(entries.map((one, i) => ({ ...unsaid, ...one, place: `entry ${i + 1}` })));
    };
    fc.assert(fc.property(set, check), { numRuns: 1_000 });
    check([{ name: "A", value: "12345678", policy: sealed, description: "d", tags: [] }]);
    expect(formatSecretsText([{ name: "A", value: "one" }], "json")).toBe('{\n  "A": "one"\n}\n');
  });

  test("as .env lines leaves out descriptions, and is refused rather than without a policy", () => {
    const entry = { name: "A", value: "12345678", description: "x\nEVIL=1", tags: ["\nEVIL=1"] };
    expect(formatSecretsText([{ ...entry, policy: readablePolicy }], "env")).toBe("A=12345678\n");
    expect(thrownBy(() => formatSecretsText([{ ...entry, policy: sealed }], "env"))).toMatchObject({
      code: "ERR_SECRET_POLICY_INVALID",
      message: "Cannot write the secrets: entry 1: its policy does not fit into .env lines; write JSON",
    });
  });

  test.each<[string, SecretsTextEntry[]]>([
    ["a name that is an assignment", [{ name: "A=1\nEVIL", value: "x" }]],
    ["a name with a line's end after it", [{ name: "A\n", value: "x" }]],
    ["an empty value", [{ name: "A", value: "" }]],
    ["half a character", [{ name: "A", value: "x\ud800" }]],
    ["a value too large", [{ name: "A", value: "x".repeat(secretValueBytesMax + 1) }]],
    [
      "two names that differ in case only",
      [
        { name: "A", value: "x" },
        { name: "a", value: "x" },
      ],
    ],
    ["too many entries", Array.from({ length: 1_001 }, (_, i) => ({ name: `A${i}`, value: "x" }))],
    [
      "too much text",
      Array.from({ length: 64 }, (_, i) => ({ name: `A${i}`, value: "\\".repeat(secretValueBytesMax) })),
    ],
  ])("is refused with %s, which would not be read back", (_, entries) => {
    for (const format of ["env", "json"] as const) {
      const failure = thrownBy(() => formatSecretsText(entries, format)) as Error;
      expect(failure).toMatchObject({ fault: "user" });
      expect(failure.message).toMatch(/^Cannot write the secrets: (entry \d+|text): /);
      expect(failure.message).not.toContain("EVIL");
    }
  });
});
