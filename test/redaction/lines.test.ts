/**
 * Values of several lines, printed with something before each line: the whole value is masked, lines too that would
 * not be masked by themselves; and nothing is masked where the lines do not follow each other.
 */
import { describe, expect, test } from "vitest";
import { createRedactor } from "../../redaction/redactor.ts";

const KEY = ["-----BEGIN PRIVATE KEY-----", "MIIBVQIBADANBgkqhkiG9w0BAQEFAASC", "ab=", "-----END PRIVATE KEY-----"];
const JSON_VALUE = JSON.stringify({ type: "account", id: 7, token: "sk_live_TESTsecret123", list: [1, {}] }, null, 2);
const MASK = "[REDACTED:key]";

const redactorOf = (value: string): ReturnType<typeof createRedactor> => createRedactor([{ name: "key", value }]);
const redactor = redactorOf(`${KEY.join("\n")}\n`);

const prefixes: Record<string, (line: number) => string> = {
  "a service's name": () => "svc-1  | ",
  "a time": (line) => `2026-11-21T02:15:0${line}.${line ** 9}Z INFO `,
  "a quotation mark": () => "> ",
  "numbers that grow": (line) => `${line + 8}: `,
  "aligned numbers": (line) => `${String(line + 8).padStart(6)}\t`,
  "an added line": () => "+",
  colours: (line) => `\u001b[3${line}msvc |\u001b[0m`,
  indentation: (line) => " ".repeat(2 + line),
  nothing: () => "",
};

describe("a value of several lines is masked line by line behind", () => {
  for (const [name, prefixOf] of Object.entries(prefixes)) {
    test(`${name}, before every line`, () => {
      const text = KEY.map((line, i) => `${prefixOf(i)}${line}\n`).join("");
      const masked = redactor.text(`before\n${text}behind\n`);
      // Where a prefix has no letters, the value is found as a whole, across the prefixes.
      const isWhole = !/[a-z0-9]/i.test(prefixOf(0));
      const lines = KEY.slice(isWhole ? 3 : 0).map((_, i) => `${prefixOf(i)}${MASK}\n`);
      expect(masked).toBe(`before\n${lines.join("")}behind\n`);
      for (const line of KEY) expect(masked).not.toContain(line);
    });
  }

  test("an added line, with the value's own indentation", () => {
    const text = JSON_VALUE.split("\n").map((line) => `+${line}`);
    const masked = redactorOf(JSON_VALUE).text(`${text.join("\n")}\n+next`);
    for (const line of JSON_VALUE.split("\n")) expect(masked).not.toContain(line);
    expect(masked).toMatch(/\n\+next$/);
  });

  test("a prefix, with CRLF, blanks and colours at the ends", () => {
    const text = KEY.map((line) => `a| ${line} \u001b[0m\t\r\n`).join("");
    expect(redactor.text(text)).toBe(`a| ${MASK} \u001b[0m\t\r\n`.repeat(4));
  });

  test("a prefix, with empty lines in between", () => {
    const text = "a |\na | user = me\na |\na | pass = you\n";
    expect(redactorOf("user = me\n\npass = you").text(text)).toBe(`a |\na | ${MASK}\na |\na | ${MASK}\n`);
  });
});

describe("lines that are common by themselves are left where", () => {
  const common = "start: yes\ncount: 10\nlevel: one";
  const text = (lines: string[]): string => lines.map((line) => `x| ${line}\n`).join("");

  test("they do not follow each other", () => {
    const other = text(["start: yes", "other", "count: 10", "level: one"]);
    expect(redactorOf(common).text(other)).toBe(other);
    expect(redactorOf(common).text(text(common.split("\n")))).toBe(`x| ${MASK}\n`.repeat(3));
  });

  test("their prefixes are not alike", () => {
    const other = "x| start: yes\nx| count: 10\nx | | level: one\n";
    expect(redactorOf(common).text(other)).toBe(other);
  });

  test("they begin within a word, or behind a prefix that is too long", () => {
    for (const prefix of ["x", `${"-".repeat(126)}x `]) {
      const other = common.split("\n").map((line) => `${prefix}${line}\n`);
      expect(redactorOf(common).text(other.join(""))).toBe(other.join(""));
    }
    const most = common.split("\n").map((line) => `${"-".repeat(125)}x ${line}\n`);
    expect(redactorOf(common).text(most.join(""))).toContain(MASK);
  });

  test("something follows in the same line", () => {
    const other = text(["start: yes", "count: 10,", "level: one"]);
    expect(redactorOf(common).text(other)).toBe(other);
  });
});

describe("a stream with prefixed lines", () => {
  test("a value that repeats itself is masked as often as it overlaps itself", () => {
    const repeats = redactorOf("count: 10\nlevel: one\ncount: 10");
    const text = "a> count: 10\na> level: one\n".repeat(3);
    expect(repeats.text(`${text}a> count: 10\na> end\n`)).toBe(`${`a> ${MASK}\n`.repeat(7)}a> end\n`);
  });

  test("a value within another one does not hide the other's lines", () => {
    const lines = ["alpha: 1", "beta: 22", "gamma: 3", "delta: 4", "omega: 5"];
    const nested = createRedactor(
      [lines, lines.slice(1, 3), lines.slice(3)].map((part) => ({ name: "key", value: part.join("\n") })),
    );
    const text = ["- before", ...lines].map((line) => `a> ${line}\n`).join("");
    expect(nested.text(text)).toBe(`a> - before\n${`a> ${MASK}\n`.repeat(5)}`);
  });

  test("the first lines of a value are masked when the stream ends within it", () => {
    const whole = KEY.map((line) => `svc | ${line}\n`).join("");
    const end = whole.indexOf("ab=") + 2;
    expect(redactor.text(whole.slice(0, end))).toBe(`svc | ${MASK}\nsvc | ${MASK}\nsvc | ${MASK}`);
    const short = redactorOf("abc\nsome-line-1\nmore-line-2");
    expect(short.text("a> abc\na> s")).toBe("a> abc\na> s");
    expect(short.text("a> abc\na> som")).toBe(`a> ${MASK}\na> ${MASK}`);
  });

  test("a prefix without end is not held", () => {
    const stream = redactor.stream();
    stream.write(`svc | ${KEY[0]}\n`);
    for (let i = 0; i < 1000; i++) stream.write("-".repeat(100));
    expect(stream.heldBytes).toBeLessThan(40);
  });

  test("values added later are found behind a prefix too", () => {
    const late = createRedactor([{ name: "first", value: "one-line: 1\nsecond-line: 2" }]);
    const stream = late.stream();
    let out = stream.write("a| one-line: 1\n");
    late.add({ name: "key", value: KEY.join("\n") });
    out += stream.write("a| second-line: 2\n") + stream.write(KEY.map((line) => `svc | ${line}\n`).join(""));
    expect(out + stream.end()).toBe(`${"a| [REDACTED:first]\n".repeat(2)}${`svc | ${MASK}\n`.repeat(4)}`);
  });
});
