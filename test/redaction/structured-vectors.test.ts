/**
 * What other systems test on structured values (vectors/peers.json), and their vectors that are about something else
 * than registered values. Where the policy here differs on purpose, the rule that decides is named.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createRedactor, type Redactor } from "../../redaction/redactor.ts";

type Vector = {
  id: string;
  secrets: string[];
  chunks: string[];
  mask?: string;
  feature?: string;
  value?: unknown;
  value_expected?: unknown;
};

const MASK = "[REDACTED:s]";
const vectors = JSON.parse(readFileSync(new URL("vectors/peers.json", import.meta.url), "utf8")) as Vector[];
const structured = vectors.filter((vector) => vector.value !== undefined);
const byId = (id: string): Vector => vectors.find((vector) => vector.id === id)!;

/** The vector's mask in a value, put as the one in use here. */
const withMask = (value: unknown, mask: string): unknown =>
  JSON.parse(JSON.stringify(value).replaceAll(mask, MASK)) as unknown;

const redactorOf = (secrets: readonly string[]): Redactor =>
  createRedactor(
    secrets.map((value) => ({ name: "s", value })),
    { shortValues: "everywhere" },
  );

const KEYS_TOO = "keys are masked like everything else";
const VALUES_ONLY = "values are registered; what a field or a path is called tells nothing";
const byRule: Record<string, { rule: string; gives: unknown }> = {
  "airflow-redact-keys-not-masked": { rule: KEYS_TOO, gives: { data: { [MASK]: MASK } } },
  ...Object.fromEntries(
    structured
      .filter((vector) => vector.secrets.length === 0)
      .map((vector) => [vector.id, { rule: VALUES_ONLY, gives: vector.value }]),
  ),
};

describe("peers' structured vectors give what is expected, or what the named rule says", () => {
  for (const { id, secrets, mask = "", value, value_expected } of structured) {
    const rule = byRule[id];
    test(`${id}${rule === undefined ? "" : ` (rule: ${rule.rule})`}`, () => {
      const masked = redactorOf(secrets).value(withMask(value, mask));
      expect(masked).toEqual(rule === undefined ? withMask(value_expected, mask) : rule.gives);
    });
  }
});

test("below four characters a field's value is masked only where short values are masked everywhere", () => {
  const { value } = byId("airflow-redact-nested");
  const redactor = createRedactor([{ name: "s", value: "foo" }]);
  expect(redactor.value(value)).toEqual(value);
});

test("a cycle ends, and the value in it is masked (airflow-circular)", () => {
  const cycle: Record<string, unknown> = { password: "a-secret-value-1" };
  cycle["self"] = cycle;
  const copy = redactorOf(["a-secret-value-1"]).value(cycle) as Record<string, unknown>;
  expect(copy["password"]).toBe(MASK);
  expect(copy["self"]).toBe(copy);
});

test("every error of a chain of ten is masked (airflow-exc-chain)", () => {
  const secret = byId("airflow-exc-chain").secrets[0]!;
  let error: Error | undefined;
  for (let i = 0; i < 10; i++) error = new Error(`${i}: ${secret}`, { cause: error });
  let levels = 0;
  let at = redactorOf([secret]).value(error) as Error | undefined;
  for (; at !== undefined; at = at.cause as Error | undefined, levels++) {
    expect(`${at.message} ${at.stack}`).not.toContain(secret);
  }
  expect(levels).toBe(10);
});

test("a String object is masked like its text (airflow-strsub)", () => {
  const secret = byId("airflow-strsub").secrets[0]!;
  const text = Reflect.construct(String, [secret]) as unknown;
  expect(redactorOf([secret]).value({ text })).toEqual({ text: MASK });
});

test("a value of one redactor is not masked by another (windmill-isolation)", () => {
  const secret = byId("windmill-isolation").secrets[0]!;
  expect(redactorOf([secret]).text(secret)).toBe(MASK);
  expect(redactorOf(["of-another-job-1"]).text(secret)).toBe(secret);
});

test("masked keys make no other secret (vm0-cascade)", () => {
  const secrets = ["secret123", `prefix-${MASK}-suffix`, `${MASK}#2`];
  const redactor = redactorOf(secrets);
  const shown = JSON.stringify(redactor.value({ "prefix-secret123-suffix": 1, secret123: 2, [secrets[2]!]: 3 }));
  for (const secret of secrets) expect(shown).not.toContain(secret);
  expect(Object.keys(JSON.parse(shown) as object)).toHaveLength(3);
});

describe(`what is no registered value is left as it is: ${VALUES_ONLY}`, () => {
  const other = new Set(["url-params", "token-prefix", "url-userinfo", "selection"]);
  for (const { id, secrets, chunks } of vectors.filter((vector) => other.has(vector.feature ?? ""))) {
    test(`${id} is left unless its value is registered`, () => {
      const text = chunks.join("");
      expect(redactorOf([]).text(text)).toBe(text);
      for (const secret of secrets) expect(redactorOf(secrets).text(text)).not.toContain(secret);
    });
  }
});
