/**
 * Goal: what the options of a command say is what is done, or it is refused before anything is: numbers keep their digits, days
 * are in the calendar, addresses and policies can be meant, and a key is not left aside. An error repeats nothing of it.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { type Given, readGiven } from "../../cli/given.ts";
import { withProject } from "../../cli/project-access.ts";
import { networkOf, openFrom, paramsFrom, stepFrom } from "../../cli/step-file.ts";
import { findAction, findCommand, onlyAction } from "../../cli/table/table.ts";
import { dateOf } from "../../cli/vault-options.ts";

const folder = mkdtempSync(path.join(tmpdir(), "stepvault-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function inFile(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text);
  return path.join(folder, name);
}

const step = inFile("step.js", "return 1");
const given = (...args: string[]): Given => readGiven(onlyAction(findCommand("run")!)!, [step, ...args]);
const usage = (why: string): unknown =>
  expect.objectContaining({ code: "ERR_USAGE", message: expect.stringContaining(why) });

describe("a number among the params", () => {
  test.each([
    ["0", 0],
    ["-0.0", 0],
    ["42", 42],
    ["-1.50", -1.5],
    ["15e-1", 1.5],
    ["1E3", 1_000],
    ["0.1", 0.1],
    ["9007199254740991", 9_007_199_254_740_991],
    ["1e+300", 1e300],
    ["5e-324", 5e-324],
  ])("is %s when it was written so", (text, number) => {
    const params = paramsFrom(given("--param", `n=${text}`, "--param", `in={"a":[${text}]}`));
    expect((params as { n: number }).n === number).toBe(true);
    expect(params).toMatchObject({ in: { a: [expect.closeTo(number)] } });
  });

  test.each(["1234567890123456789", "9007199254740993", "1e999", "1e-999", "12345678901234567.89"])(
    "is refused when it would be rounded, as %s, with how to give it",
    (text) => {
      for (const value of [text, `{"id":${text}}`, `[[-${text}]]`]) {
        const wrong = (): unknown => paramsFrom(given("--param", `id=${value}`));
        expect(wrong).toThrow(usage(`write it as text, in double quotes, as in --param 'NAME="…"'`));
        expect(wrong).not.toThrow(text);
      }
      const file = inFile("params.json", `{"id":${text}}`);
      expect(() => paramsFrom(given("--params-file", file))).toThrow(
        expect.objectContaining({ code: "ERR_FILE_UNREADABLE", message: expect.stringContaining("write it as text") }),
      );
    },
  );

  test("is text where it is given as text, and what is no JSON is text as well", () => {
    const long = "1234567890123456789";
    expect(paramsFrom(given("--param", `a="${long}"`, "--param", `b=${long}x`, "--param", "c=+1"))).toEqual({
      a: long,
      b: `${long}x`,
      c: "+1",
    });
  });
});

describe("a date", () => {
  test.each(["2027-02-31", "2027-02-29", "2027-04-31T10:00:00Z", "2027-13-01", "2027-00-10", "tomorrow", "1"])(
    "is refused when the calendar has no %s",
    (text) => {
      expect(() => dateOf(text, "--expires")).toThrow(usage("--expires must be never, a date such as"));
    },
  );

  test("is taken as it stands", () => {
    expect(dateOf("2028-02-29", "--expires")).toEqual(new Date("2028-02-29T00:00:00Z"));
    expect(dateOf("2027-01-31T23:30:00+01:00", "--expires")).toEqual(new Date("2027-01-31T22:30:00Z"));
    expect([dateOf("never", "--expires"), dateOf(undefined, "--expires")]).toEqual([null, undefined]);
  });
});

describe("an opened address", () => {
  test.each([
    "nonsense",
    "host",
    "host:",
    ":80",
    "host:0",
    "host:65536",
    "http://host:80",
    "host:80/path",
    "a,b:80",
    "",
  ])("is refused when no request could have it: %s", (text) => {
    expect(() => openFrom(given("--open", text))).toThrow(usage("--open is HOST:PORT, such as 127.0.0.1:8080"));
  });

  test("is spelled as requests spell it", () => {
    const options = ["127.0.0.1:2", "LocalHost:80", "[0:0::1]:443"].flatMap((text) => ["--open", text]);
    expect(openFrom(given(...options))).toEqual(["127.0.0.1:2", "localhost:80", "[::1]:443"]);
  });
});

describe("a network policy", () => {
  test("is one word alone, or rules", () => {
    expect(stepFrom(given())).not.toHaveProperty("network");
    expect(stepFrom(given("--network", "open"))).toMatchObject({ network: "open" });
    expect(stepFrom(given("--network", "GET a", "--network", "b"))).toMatchObject({ network: ["GET a", "b"] });
  });

  test.each([
    ["GET x", "open"],
    ["none", "GET x"],
    ["none", "open"],
  ])("is refused when it is both: %s and %s", (...words) => {
    const options = words.flatMap((word) => ["--network", word]);
    expect(() => stepFrom(given(...options))).toThrow(usage("--network is none or open alone"));
    expect(() => networkOf("POLICY", words)).toThrow(usage("POLICY is none or open alone"));
  });
});

test("a file with a key is refused without the address of an API, and nobody acts as the operator instead", async () => {
  const list = findAction(findCommand("runs")!, "list")!;
  const named = readGiven(list, ["--project", "p", "--key-file", step]);
  vi.stubEnv("STEPVAULT_DATA_DIR", folder);
  let acted = false;
  const acting = withProject(named, async () => void (acted = true));
  await expect(acting).rejects.toThrow(usage("--key-file is for an API, and --url is missing"));
  vi.unstubAllEnvs();
  expect(acted).toBe(false);
});
