/**
 * What twenty other systems test, and the leaks found in them (vectors/peers.json), run whole, byte by byte and at
 * random cuts. Mask texts are normalised and adjacent masks joined before comparing. Where the policy here differs on
 * purpose, `byRule` names the rule that decides and what it gives.
 */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createRedactor, type RedactorOptions } from "../../redaction/redactor.ts";
import { cutAt, randomCuts } from "./cuts.ts";

type Vector = {
  id: string;
  secrets: string[];
  chunks: string[];
  chunks_b64?: string[];
  chunks_repeat?: [string, number][];
  mask?: string;
  expected?: string;
  property?: string;
  encoded?: string;
  feature?: string;
  min_length?: number;
  events?: { before_chunk: number; add: string[] }[];
  emitted_after?: string[];
  value?: unknown;
  value_expected?: unknown;
};

/** Stands for any run of masks; no vector holds it. */
const MASK = "\uE000";
const vectors = JSON.parse(readFileSync(new URL("vectors/peers.json", import.meta.url), "utf8")) as Vector[];

/** No secrets are registered there: key names, URL parameters and known token formats are not the redactor's business. */
const OUT_OF_SCOPE = new Set(["url-params", "token-prefix", "url-userinfo", "structured-paths", "selection"]);

const SHORT = "policy.ts: below 4 characters never, from 4 to 7 and common words only as a token";
const WHOLE = "the whole value is masked, not its long lines only";
const byRule: Record<string, { rule: string; gives: string; everywhereToo?: boolean }> = {
  "gitlab-mask-06": { rule: SHORT, gives: "ssecrets" },
  "gitlab-mask-08": { rule: SHORT, gives: "at the start of the buffer" },
  "gitlab-mask-12": { rule: SHORT, gives: "prefixed and suffixed: xfoox ybary ffoo barr ffooo bbarr" },
  "gitlab-mask-13": { rule: SHORT, gives: "prefixed, suffixed and split: xfoox ybary ffoo barr ffooo bbarr" },
  "gitlab-mask-14": { rule: SHORT, gives: `${MASK} all ${MASK} are ${MASK}` },
  "buildkite-multibyte": { rule: SHORT, gives: "fooÿbar" },
  "buildkite-lorem-08-bytewise": { rule: SHORT, gives: "Lorem ipsum dolor sit amet" },
  "azure-ReplacesMultipleAdjacentInstances": { rule: SHORT, gives: "abcabcdef" },
  "azure-uri-spaces7": { rule: "policy.ts: blanks are no value", gives: "%20%20%20%20%20%20%20" },
  "azure-min-MaskingSecrets": { rule: SHORT, gives: "123" },
  "azure-min-ShortSecret_Removes_BoundaryValue2": { rule: SHORT, gives: "1234567" },
  "azure-min-NegativeValue_Passed": { rule: SHORT, gives: "12345" },
  "ms-overlap-adjacent": { rule: SHORT, gives: `The ${MASK} ${MASK} ${MASK} ${MASK}.` },
  "airflow-msg": { rule: SHORT, gives: "XpasswordY" },
  "windmill-short": { rule: SHORT, gives: `values: ${MASK}, abc, ${MASK} should not be masked` },
  "vm0-pct-adjacent": { rule: SHORT, gives: "token%2fatoken%2fa" },
  "vm0-overlap": { rule: SHORT, gives: `abcde${MASK}` },
  "vm0-selfoverlap": { rule: SHORT, gives: "ababab" },
  "vm0-mem": { rule: SHORT, gives: "a".repeat(1_048_576) },
  "concourse-chunk": { rule: SHORT, gives: "ok123ok\nok456ok\nok789ok\n" },
  "leak-kmp-1": { rule: SHORT, gives: "aaab" },
  "leak-kmp-5": { rule: SHORT, gives: "aaab" },
  "github-default-06": { rule: "runs.ts: every character that holds bits of the value", gives: `O${MASK}` },
  "github-default-07": { rule: "runs.ts: every character that holds bits of the value", gives: `YT${MASK}` },
  "github-default-09": { rule: "runs.ts: every character that holds bits of the value", gives: `YWJjO${MASK}` },
  "dagger-massive": { rule: "the union of all occurrences, overlapping ones too", gives: `hello\n${MASK}\n` },
  "dagger-massive2": { rule: "a dangling prefix is masked", gives: `hello\n${MASK}\n` },
  "drone-json": { rule: WHOLE, gives: MASK },
};

/** With short values masked everywhere, these still follow a rule of their own. */
const NOT_EVERYWHERE = new Set(["buildkite-lorem-08-bytewise", "windmill-short", "concourse-chunk", "vm0-mem"]);

const normal = (text: string): string =>
  text.replaceAll(/\[REDACTED[^\]]*\]|<redacted>/g, MASK).replaceAll(/\uE000+/g, MASK);

function expectedOf(vector: Vector): string {
  const expected = vector.expected!;
  return vector.mask === undefined
    ? expected
    : expected
        .split(vector.mask)
        .join(MASK)
        .replaceAll(/\uE000+/g, MASK);
}

function redactorFor(vector: Vector, options?: RedactorOptions): ReturnType<typeof createRedactor> {
  return createRedactor(
    vector.secrets.map((value, i) => ({ name: `s${i}`, value })),
    options,
  );
}

function stream(vector: Vector, chunks: readonly string[], options?: RedactorOptions): string {
  const redactor = redactorFor(vector, options);
  const open = redactor.stream();
  let out = "";
  for (const chunk of chunks) {
    out += open.write(chunk);
    expect(open.heldBytes).toBeLessThanOrEqual(redactor.holdMax);
  }
  return out + open.end();
}

const chunksOf = (vector: Vector): string[] =>
  vector.chunks_repeat?.map(([text, count]) => text.repeat(count)) ?? vector.chunks;

const texts = vectors.filter(
  (vector) =>
    !OUT_OF_SCOPE.has(vector.feature ?? "") &&
    vector.value === undefined &&
    vector.events === undefined &&
    chunksOf(vector).length > 0,
);

describe("peers' vectors give what is expected, or what the named rule says", () => {
  for (const vector of texts.filter((each) => each.expected !== undefined)) {
    const rule = byRule[vector.id];
    test(`${vector.id}${rule === undefined ? "" : ` (rule: ${rule.rule})`}`, () => {
      const chunks = chunksOf(vector);
      expect(normal(stream(vector, chunks))).toBe(rule === undefined ? expectedOf(vector) : rule.gives);
    });
    if (rule?.rule !== SHORT || NOT_EVERYWHERE.has(vector.id)) continue;
    test(`${vector.id} with short values masked everywhere`, () => {
      expect(normal(stream(vector, chunksOf(vector), { shortValues: "everywhere" }))).toBe(expectedOf(vector));
    });
  }
});

describe("peers' encodings do not survive", () => {
  const secretless = new Set(["gh-507", "leak-overlapchain", "leak-wschunk"]);
  for (const vector of texts.filter((each) => each.expected === undefined && !secretless.has(each.id))) {
    test(`${vector.id} is not recoverable`, () => {
      const out = normal(stream(vector, chunksOf(vector)));
      expect(out).toContain(MASK);
      for (const secret of vector.secrets) expect(out).not.toContain(secret);
      expect(out).not.toContain(vector.encoded ?? vector.secrets[0]);
      // Nothing of the value but what stood around it, and at most two characters at each end of an encoding.
      const rest = out.replaceAll(MASK, "");
      for (const secret of vector.secrets)
        expect(longestShared(rest, secret)).toBeLessThan(Math.max(6, secret.length / 2));
    });
  }
});

describe("peers' vectors come out the same however they are cut", () => {
  for (const vector of texts) {
    const whole = chunksOf(vector).join("");
    if (whole.length > 20_000) continue;
    test(`${vector.id} in any pieces`, () => {
      const expected = stream(vector, [whole]);
      expect(redactorFor(vector).text(whole)).toBe(expected);
      expect(stream(vector, Array.from(whole))).toBe(expected);
      for (let seed = 0; seed < 5; seed++)
        expect(stream(vector, cutAt(whole, randomCuts(whole.length, seed)))).toBe(expected);
      expect(redactorFor(vector).text(expected)).toBe(expected);
    });
  }
});

test("a value added between two writes is masked from then on", () => {
  for (const vector of vectors.filter((each) => each.events !== undefined)) {
    const redactor = redactorFor(vector);
    const open = redactor.stream();
    let out = "";
    for (const [i, chunk] of vector.chunks.entries()) {
      for (const event of vector.events!) {
        if (event.before_chunk === i) for (const value of event.add) redactor.add({ name: "added", value });
      }
      out += open.write(chunk);
    }
    expect(normal(out + open.end())).toBe(expectedOf(vector));
  }
});

test("UTF-16 bytes of a value are masked (trufflehog-utf16le)", () => {
  const vector = vectors.find((each) => each.id === "trufflehog-utf16le")!;
  const redactor = redactorFor(vector);
  const out = Buffer.from(redactor.bytes(Buffer.from(vector.chunks_b64![0]!, "base64")));
  expect(out.toString("utf16le")).not.toContain("hunter2");
  expect(out.toString("latin1")).toContain("[REDACTED:s0]");
});

test("text without a value is passed on at once (shipfox-noline)", () => {
  const open = createRedactor([{ name: "s", value: "a-secret-value-1" }]).stream();
  expect(open.write("Progress: 50%")).toBe("Progress: 50");
  expect(open.release()).toBe("%");
});

test("an endless chain of overlapping values is passed on as it comes (leak-overlapchain)", () => {
  const redactor = createRedactor(
    ["ababababab", "bababababa"].map((value, i) => ({ name: `s${i}`, value })),
    { decode: false },
  );
  const open = redactor.stream();
  let out = "";
  for (let i = 0; i < 10_000; i++) {
    out += open.write("ab");
    expect(open.heldBytes).toBeLessThan(10);
  }
  expect(out + open.end()).toBe("[REDACTED:s0]");
});

test("blanks between the lines of a value are not collected without end (leak-wschunk)", () => {
  const redactor = createRedactor([{ name: "key", value: "-----BEGIN KEY-----\nabcdef\n-----END KEY-----" }]);
  const open = redactor.stream();
  open.write("hello -----BEGIN KEY-----");
  for (let i = 0; i < 100_000; i++) open.write(" \n");
  expect(open.heldBytes).toBeLessThanOrEqual(redactor.holdMax);
});

test("fuzz finds of buildkite: no value is left in the output, whole or split", () => {
  const { cases } = JSON.parse(readFileSync(new URL("vectors/buildkite-fuzz.json", import.meta.url), "utf8")) as {
    cases: { id: string; plaintext_b64: string; secrets_b64: string[]; split: number }[];
  };
  for (const { plaintext_b64, secrets_b64, split } of cases) {
    const secrets = secrets_b64.map((value, i) => ({ name: `s${i}`, value: Buffer.from(value, "base64") }));
    const text = Buffer.from(plaintext_b64, "base64");
    const redactor = createRedactor(secrets, { shortValues: "everywhere" });
    const whole = Buffer.from(redactor.bytes(text));
    const open = redactor.stream("bytes");
    const at = Math.max(0, Math.min(text.length, split));
    const parts = Buffer.concat([open.write(text.subarray(0, at)), open.write(text.subarray(at)), open.end()]);
    expect(parts.toString("latin1")).toBe(whole.toString("latin1"));
    const rest = whole
      .toString("latin1")
      .split(/\[REDACTED(?::s\d)?\]|<redacted>|\(\*{3}\)|\{\.{3}\}|#{5}|(?:\u00e2\u0096\u0088)+/);
    for (const { value } of secrets.filter((secret) => secret.value.length > 0)) {
      for (const part of rest) expect(part).not.toContain(value.toString("latin1"));
    }
  }
});

function longestShared(a: string, b: string): number {
  let longest = 0;
  for (let i = 0; i < b.length; i++) {
    for (let length = longest + 1; i + length <= b.length && a.includes(b.slice(i, i + length)); length++)
      longest = length;
  }
  return longest;
}
