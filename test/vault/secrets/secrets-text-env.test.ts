/**
 * Goal: `.env` lines are read as the common tools read them, and a line about which they disagree is told instead of guessed.
 * Method: examples with what they mean, and the tools themselves as oracles for all that they agree about.
 */
import { describe, expect, test } from "vitest";
import { parseSecretsText } from "../../../vault/secrets/secrets-text.ts";
import { readDotenv, readNode, readPython } from "./secrets-text-readers.ts";

function read(text: string): Record<string, string> {
  const { entries, faults } = parseSecretsText(text, { format: "env" });
  expect(faults).toEqual([]);
  return Object.fromEntries(entries.map(({ name, value }) => [name, value]));
}

function faultsOf(text: string): string[] {
  return parseSecretsText(text, { format: "env" }).faults.map(({ place, rule }) => `${place}: ${rule}`);
}

const pem = "-----BEGIN KEY-----\nMIIB/+==\n-----END KEY-----\n";

describe("an .env line", () => {
  test.each<[string, string, string]>([
    ["bare", "A=one", "one"],
    ["with export", "export A=one", "one"],
    ["with blanks around the sign", "  A =\tone  ", "one"],
    ["with blanks inside", "A=one two", "one two"],
    ["with a comment after a blank", "A=one # two", "one"],
    ["in single quotes", "A=' one # \" ` '", ' one # " ` '],
    ["in double quotes", `A=" one # ' \` "`, " one # ' ` "],
    ["in backquotes", "A=` one # ' \" `", " one # ' \" "],
    ["in quotes, with a comment", "A='one' # it's", "one"],
    ["with \\n in double quotes", String.raw`A="one\ntwo"`, "one\ntwo"],
    ["with \\n in single quotes", String.raw`A='one\ntwo'`, String.raw`one\ntwo`],
    ["with \\n in backquotes", "A=`one\\ntwo`", String.raw`one\ntwo`],
    ["with \\n in no quotes", String.raw`A=one\ntwo`, String.raw`one\ntwo`],
    ["with a backslash that escapes nothing", String.raw`A="\d+"`, String.raw`\d+`],
    ["with what a shell would put in", "A=$HOME/$(id)/`id`x", "$HOME/$(id)/`id`x"],
    ["with a sign in it", "A=b=c==", "b=c=="],
    ["with JSON", 'A={"b": "c"}', '{"b": "c"}'],
    ["of several lines in double quotes", `A="${pem}"`, pem],
    ["of several lines in single quotes", `A='${pem}'`, pem],
    ["of several lines in backquotes", `A=\`${pem}\``, pem],
    ["with Windows' line ends in quotes", `A="${pem.replaceAll("\n", "\r\n")}"`, pem],
  ])("%s means what it means to dotenv", (_, line, value) => {
    for (const text of [line, `${line}\n`, `B=two\n${line}\nC='three'\n`.replaceAll(/\r?\n/g, "\r\n")]) {
      expect(read(text)["A"]).toBe(value);
      expect(readDotenv(text)?.get("A")).toBe(value);
      expect(Object.keys(read(text))).toEqual([...readDotenv(text)!.keys()]);
    }
    const others = [...(line.includes("\r") ? [] : [readNode]), ...(line.includes("=`") ? [] : [readPython])];
    expect(others.map((reader) => reader(`${line}\n`)?.get("A"))).toEqual(others.map(() => value));
  });

  test.each<[string, string, string]>([
    ["a # that no blank precedes", "A=one#two", "one#two"],
    ["a # first of all", "A=#one", "#one"],
    ["a quote in double quotes", String.raw`A="a \"b\" c"`, `a "b" c`],
    ["a backslash in double quotes", String.raw`A="C:\\new"`, String.raw`C:\new`],
    ["what a shell needs escaped", 'A="\\$a \\`b\\`"', "$a `b`"],
    ["a tab and a carriage return", String.raw`A="a\tb\rc"`, "a\tb\rc"],
    ["a quote that does not begin the value", 'A=it\'s "it"', 'it\'s "it"'],
  ])("keeps %s", (_, line, value) => {
    expect(read(line)).toEqual({ A: value });
  });

  test("is read as Doppler writes it, whatever the value", () => {
    // `doppler secrets download --format env`: backslashes and quotes are escaped, nothing else.
    const value = `a "b" \\n \\ $c \`d\` 'e' # f\n${pem}`;
    expect(read(`A="${value.replaceAll("\\", "\\\\").replaceAll('"', String.raw`\"`)}"\n`)).toEqual({ A: value });
  });

  test("is nothing when it is blank or a comment, with a quote or a sign in it too", () => {
    expect(read("\n \t\n# it's A=one\n  # \"\nA=one\n\n#")).toEqual({ A: "one" });
  });

  test("ends at a carriage return alone too, which no quotes keep", () => {
    const text = "A=one\rB='two\rthree'\rC=four";
    expect(read(text)).toEqual({ A: "one", B: "two\nthree", C: "four" });
    expect(readDotenv(text)).toEqual(new Map(Object.entries(read(text))));
  });

  test("is found behind a byte order mark", () => {
    expect(read("\uFEFFA=one")).toEqual({ A: "one" });
  });
});

describe("an .env line that is told instead of read", () => {
  test.each<[string, string, string[]]>([
    ["without a sign", "A=1\nhunter2", ["line 2: it has no = after a name"]],
    [
      "with text after its quotes",
      "A='hunter2'hunter2",
      ['line 1: text follows its closing quote; within double quotes a quote is \\"'],
    ],
    [
      "with a # close to its quotes",
      "A='hunter2'#x",
      ['line 1: text follows its closing quote; within double quotes a quote is \\"'],
    ],
    [
      "quoted the way of a shell",
      String.raw`A='hunter'\''2'`,
      ['line 1: text follows its closing quote; within double quotes a quote is \\"'],
    ],
    ["with nothing", "A=", ["line 1: its value has 0 bytes; 1 to 65536 are allowed"]],
    ["with empty quotes", 'A=""', ["line 1: its value has 0 bytes; 1 to 65536 are allowed"]],
    ["with a comment only", "A= # hunter2", ["line 1: its value has 0 bytes; 1 to 65536 are allowed"]],
    [
      "with no name",
      "=hunter2",
      [
        "line 1: its name of 0 characters is not a letter or underscore, then letters, digits, underscores; at most 128",
      ],
    ],
    [
      "with a key for a name",
      "sk-hunter2😀=x",
      [
        "line 1: its name of 11 characters is not a letter or underscore, then letters, digits, underscores; at most 128",
      ],
    ],
    [
      "with two words for a name",
      "my hunter2=x",
      [
        "line 1: its name of 10 characters is not a letter or underscore, then letters, digits, underscores; at most 128",
      ],
    ],
    ["that is the second of its name", "A=hunter2\n\nA=hunter2", ["line 3: its name is that of line 1"]],
    [
      "that is the second of its name but for case",
      "Hunter2=1\nhUNTER2=2",
      ["line 2: its name differs in case only from that of line 1"],
    ],
  ])("%s", (_, text, faults) => {
    expect(faultsOf(text)).toEqual(faults);
    expect(faults.join("")).not.toMatch(/hunter/i);
  });

  test("ends the reading when its quote is never closed, as all that follows could be its value", () => {
    expect(faultsOf(`A=\nB="hunter2\nhunter2\nC=`)).toEqual([
      "line 1: its value has 0 bytes; 1 to 65536 are allowed",
      "line 2: the quote that it opens is not closed; what follows was not read",
    ]);
    expect(faultsOf(String.raw`A="hunter2\"`)).toHaveLength(1);
  });

  test("is counted from the first line over quoted line ends, comments and Windows' ends", () => {
    expect(faultsOf(`# one\r\nA="2\r\n3\r\n4"\r\n\r\nB\r\nC='7\n8' # x\nD`)).toEqual([
      "line 6: it has no = after a name",
      "line 9: it has no = after a name",
    ]);
  });
});

describe("an .env text of an attacker's", () => {
  test("of megabytes of blanks, quotes and faults is read in no time and with bounded faults", () => {
    const size = 4_000_000;
    const started = performance.now();
    for (const unit of [" ", "'", '"\\', "A=' ", "x\n", "=\n", "A \t", "# ", "A= #"]) {
      const { faults, entries } = parseSecretsText(`A=${unit.repeat(size / unit.length)}`, { format: "env" });
      expect(entries.length).toBeLessThanOrEqual(1);
      expect(faults.length).toBeLessThanOrEqual(2_001);
    }
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});
