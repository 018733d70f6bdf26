/**
 * Goal: the table of commands is true and whole: each action has something that does it, help with an example that can be
 * called, and its line in docs/cli.md. What is typed is checked by it, and a key among the arguments is refused, neither repeated.
 */
import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { refuseSecrets } from "../../cli/argument-secrets.ts";
import { loaders } from "../../cli/commands.ts";
import { readGiven } from "../../cli/given.ts";
import { helpOfAction, helpOfCommand, overview } from "../../cli/help.ts";
import { commandTable, findAction, findCommand, onlyAction } from "../../cli/table/table.ts";
import { optionsOf } from "../../cli/table/types.ts";
import { generateKey } from "../../vault/platform-keys/key-format.ts";

const all = commandTable.flatMap((command) => command.actions.map((action) => ({ command, action })));
const document = readFileSync(path.join(import.meta.dirname, "../../docs/cli.md"), "utf8");

/** The words of an example after `stepvault`, as a shell would split them. */
function wordsOf(example: string): string[] {
  const words = [...example.matchAll(/'([^']*)'|"([^"]*)"|([^\s|<>()"']+|[|<>()])/g)].map(
    ([, single, double, bare]) => single ?? double ?? bare!,
  );
  const called = words.slice(words.indexOf("stepvault") + 1);
  const end = called.findIndex((word) => /^[|<>)]$/.test(word));
  return end < 0 ? called : called.slice(0, end);
}

describe("the table of commands", () => {
  test("has somebody who does each action, and nobody does what is not in it", async () => {
    expect(Object.keys(loaders).sort()).toEqual(commandTable.map(({ name }) => name).sort());
    for (const { name, actions } of commandTable) {
      const handlers = await loaders[name]!();
      expect([name, Object.keys(handlers).sort()]).toEqual([name, actions.map((action) => action.name).sort()]);
    }
  });

  test("has help for each action, with its options and examples that can be called", () => {
    for (const { command, action } of all) {
      const help = helpOfAction(command, action);
      for (const { name } of optionsOf(action)) expect(help).toContain(`--${name}`);
      expect(action.examples.length).toBeGreaterThan(0);
      for (const example of action.examples) {
        const [name, ...rest] = wordsOf(example);
        expect([example, name]).toEqual([example, command.name]);
        const words = onlyAction(command) === undefined ? rest.slice(1) : rest;
        expect(() => readGiven(action, words)).not.toThrow();
        expect(() => refuseSecrets(rest)).not.toThrow();
        expect(help).toContain(example);
      }
    }
    for (const command of commandTable) {
      expect(overview()).toContain(`  ${command.name}`);
      expect(helpOfCommand(command)).toContain("Examples:");
    }
  });

  test("stands in docs/cli.md with every action and every option", () => {
    const missing = all.flatMap(({ command, action }) => {
      const section = document.split(`\n## \`stepvault ${command.name}\`\n`)[1]?.split("\n## ")[0] ?? "";
      const own =
        action.name === ""
          ? section
          : (section
              .split("\n")
              .find(
                (line) => line.startsWith(`| \`${action.name}`) && /^[` ]/.test(line.slice(3 + action.name.length)),
              ) ?? "");
      const options = (action.options ?? []).filter(({ name }) => !own.includes(`\`--${name}`));
      return [
        ...(own === "" ? [`${command.name} ${action.name}`] : []),
        ...options.map(({ name }) => `${command.name} ${action.name} --${name}`),
      ];
    });
    expect(missing).toEqual([]);
    const described = [...document.matchAll(/^## `stepvault ([a-z-]+)`$/gm)].map(([, name]) => name);
    expect(described).toEqual(commandTable.map(({ name }) => name));
  });

  test("uses a letter or a name for one option only in each action", () => {
    for (const { command, action } of all) {
      const words = optionsOf(action).flatMap(({ name, short }) => [name, ...(short === undefined ? [] : [short])]);
      expect([command.name, action.name, words.length]).toEqual([command.name, action.name, new Set(words).size]);
    }
  });
});

describe("what an action is given", () => {
  const actionOf = (command: string, action: string): Parameters<typeof readGiven>[0] =>
    findAction(findCommand(command)!, action)!;

  test.each([
    ["runs", "list", [], "--project ID is missing"],
    ["runs", "list", ["--project", "p", "--status", "fialed"], "--status is one of queued, running"],
    ["runs", "list", ["--project", "p", "--limit", "0"], "--limit must be a whole number from 1 to"],
    ["runs", "list", ["--project", "p", "--limit", "1e3"], "--limit must be a whole number"],
    ["runs", "list", ["--project"], "--project lacks its ID"],
    ["runs", "list", ["--project", "--json"], "--project lacks its ID"],
    ["runs", "list", ["--project", "p", "--json=yes"], "--json takes no value"],
    ["runs", "list", ["--projct", "p"], "did you mean --project?"],
    ["runs", "show", ["--project", "p"], "RUN is missing"],
    ["runs", "show", ["a", "b", "--project", "p"], "2 words are too many: 1 at most"],
    ["secrets", "list", [], "say where"],
    ["secrets", "list", ["--project", "p", "--organization", "o"], "and one of them"],
    [
      "keys",
      "rotate",
      ["k", "--project", "p", "--grace-days", "31"],
      "--grace-days must be a whole number from 0 to 30",
    ],
    ["completion", "", ["tcsh"], "SHELL is one of bash, zsh, fish"],
  ])("%s %s %j is refused: %s", (command, action, args, why) => {
    expect(() => readGiven(actionOf(command, action), args)).toThrow(why);
  });

  test("is never repeated in an error, whatever it is", () => {
    expect.hasAssertions();
    const word = fc.stringMatching(/^[A-Za-z0-9_.=-]{6,30}$/).map((text) => `zq${text}qz`);
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            word,
            word.map((text) => `--${text}`),
            fc.constantFrom("--limit", "--status", "--project"),
          ),
          { minLength: 1, maxLength: 5 },
        ),
        (args) => {
          let told = "";
          try {
            readGiven(actionOf("runs", "list"), args);
          } catch (error) {
            told = String(error);
          }
          const typed = args.map((text) => text.replace(/^--/, "")).filter((text) => text.startsWith("zq"));
          expect(typed.filter((text) => told.includes(text))).toEqual([]);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("a key among the arguments", () => {
  // Written in parts: no tool that looks for keys is to take them for some.
  test.each([
    generateKey("project", "us"),
    generateKey("organization", "eu"),
    generateKey("embed", "au"),
    ["sk-", "proj-8f3b2c1d9e7a6f5b4c3d"].join(""),
    ["sk_", "live_51H8x9kLmNoPqRsTuVwXyZ"].join(""),
    ["gh", "p_16C7e42F292c6912E7710c838347Ae178B4a"].join(""),
    ["xox", "b-123456789012-abcdefghijkl"].join(""),
    ["AKIA", "IOSFODNN7EXAMPLE"].join(""),
    ["eyJ", "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"].join(""),
    ["-----BEGIN ", "RSA PRIVATE KEY", "-----"].join(""),
    ["postgres://user:", "hunter2", "@db.example.com/x"].join(""),
  ])("is refused wherever it stands, and not repeated (%#)", (key) => {
    for (const args of [[key], ["run", "x.js", "--param", `k=${key}`], [`--${key}`], ["a", `--name=${key}`]]) {
      const place = args.findIndex((text) => text.includes(key)) + 1;
      const wanted = { code: "ERR_ARGUMENT_SECRET", message: expect.stringContaining(`argument ${place}:`) as string };
      expect(() => refuseSecrets(args)).toThrow(expect.objectContaining(wanted));
      expect(() => refuseSecrets(args)).not.toThrow(key);
    }
  });

  test("is not seen in ids, files, hosts and times", () => {
    const fine = [
      "0199c0de-0000-7000-8000-000000000000",
      "task-definition-of-the-week.py",
      "--network",
      "GET api.example.com:8443/v1",
      "risk-assessment-for-customers.js",
      "https://stepvault.example.com/api",
      "0 3 * * *",
      "Europe/Zurich",
      "wallTimeMsMax=5000",
      "disk-usage-report-generator",
    ];
    expect(() => refuseSecrets(fine)).not.toThrow();
  });
});
