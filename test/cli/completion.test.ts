/**
 * Goal: completion offers what the command takes, in the shells themselves: each one loads its script and is asked what it
 * would complete. zsh and fish take part where they are installed. Nothing is started by completing.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { bashCompletion } from "../../cli/completion/bash.ts";
import { fishCompletion } from "../../cli/completion/fish.ts";
import { zshCompletion } from "../../cli/completion/zsh.ts";
import { commandTable } from "../../cli/table/table.ts";
import { optionsOf } from "../../cli/table/types.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-completion-"));
  writeFileSync(path.join(folder, "script"), "");
  writeFileSync(path.join(folder, "step one.py"), "");
  writeFileSync(path.join(folder, "bash"), bashCompletion());
  writeFileSync(path.join(folder, "_stepvault"), zshCompletion());
  writeFileSync(path.join(folder, "fish"), fishCompletion());
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function has(shell: string): boolean {
  try {
    execFileSync(shell, ["-c", "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The shell's own words, the last one being completed. */
type Complete = (words: readonly string[]) => string[];

const inBash: Complete = (words) => {
  const script = `source ./bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _stepvault; printf '%s\\n' "\${COMPREPLY[@]}"`;
  // Nothing can be found on this path: a completion that starts a program fails.
  const env = { PATH: "/nowhere", HOME: folder };
  const out = execFileSync("/bin/bash", ["--norc", "-c", script, "bash", "stepvault", ...words], {
    cwd: folder,
    env,
    encoding: "utf8",
  });
  return out.split("\n").filter((line) => line !== "");
};

const inFish: Complete = (words) => {
  const line = ["stepvault", ...words].map((word, place) => (place > words.length - 1 ? word : word)).join(" ");
  const script = `source ./fish; complete -C ${JSON.stringify(line)}`;
  const out = execFileSync("fish", ["--no-config", "-c", script], {
    cwd: folder,
    encoding: "utf8",
    env: { ...process.env, HOME: folder },
  });
  return out
    .split("\n")
    .filter((text) => text !== "")
    .map((text) => text.split("\t")[0]!);
};

/** What zsh's own functions are given, recorded in their place: its line editor needs a terminal. */
const inZsh: Complete = (words) => {
  const script = `
    compdef() { : }
    _describe() { print -rl -- "\${(@)\${(P)2}%%:*}" }
    _files() { print -r -- FILES }
    compset() { : }
    compadd() { shift; print -rl -- "$@" }
    source ./_stepvault
    words=("$@"); CURRENT=$#
    _stepvault`;
  const out = execFileSync("zsh", ["-f", "-c", script, "zsh", "stepvault", ...words], {
    cwd: folder,
    encoding: "utf8",
  });
  const last = words.at(-1)!.replace(/^--[a-z-]+=/, "");
  return out.split("\n").filter((text) => text !== "" && (text === "FILES" || text.startsWith(last)));
};

const shells: [name: string, complete: Complete, there: boolean][] = [
  ["bash", inBash, true],
  ["zsh", inZsh, has("zsh")],
  ["fish", inFish, has("fish")],
];

describe.each(shells)("completion for %s", (name, complete, there) => {
  test.skipIf(!there)(`${name} offers commands, actions, options and their values`, () => {
    expect(complete(["se"]).sort()).toEqual(["secrets", "sessions"]);
    expect(complete(["secrets", "ro"]).sort()).toEqual(["rollback", "rotate"]);
    expect(complete(["runs", "list", "--st"]).sort()).toEqual(["--status", "--step"]);
    expect(complete(["runs", "list", "--project", "x", "--status", "cr"])).toEqual(["crashed"]);
    expect(complete(["members", "set", "ada", "--role", "ow"])).toEqual(["owner"]);
    expect(complete(["completion", "z"])).toEqual(["zsh"]);
    expect(complete(["help", "secr"])).toEqual(["secrets"]);
    expect(complete(["run", "--lim"])).toEqual(["--limit"]);
    expect(complete(["secrets", "set", "--re"])).toEqual([]);
    expect(complete(["secrets", "get", "--re"])).toEqual(["--reveal"]);
  });

  test.skipIf(!there)(`${name} offers files where a file is taken, and nothing where only you know`, () => {
    const files = complete(["run", "ste"]);
    expect(files.length === 1 && /^(step one\.py|step\\ one\.py|FILES)$/.test(files[0]!)).toBe(true);
    expect(complete(["runs", "list", "--project", ""]).filter((word) => word.startsWith("--"))).toEqual([]);
    expect(complete(["runs", "list", "--project", "ste"])).toEqual([]);
  });

  test.skipIf(!there)(
    `${name} knows every option of every action`,
    () => {
      for (const command of commandTable.filter(({ name: of }) => of !== "help")) {
        for (const action of command.actions.slice(0, name === "bash" ? undefined : 3)) {
          const words = [command.name, action.name].filter((word) => word !== "");
          const offered = complete([...words, "--"])
            .filter((word) => word.startsWith("--"))
            .sort();
          expect([words, offered]).toEqual([
            words,
            optionsOf(action)
              .map((option) => `--${option.name}`)
              .sort(),
          ]);
        }
      }
    },
    120_000,
  );
});

test("a value after = is completed as well", () => {
  expect(inBash(["runs", "list", "--status", "=", "ti"])).toEqual(["timed_out"]);
  expect(inBash(["secrets", "export", "--format", "="])).toEqual(["env", "json"]);
});

test("a value with a colon is completed from behind it, where bash breaks words, and as a whole elsewhere", () => {
  expect(inBash(["keys", "create", "--scope", "read", ":"])).toEqual(["runs"]);
  expect(inBash(["keys", "create", "--scope", "read", ":", "ru"])).toEqual(["runs"]);
  expect(inBash(["keys", "create", "--scope", "=", "manage", ":", "s"])).toEqual(["secrets"]);
  expect(inBash(["keys", "create", "--scope", "read:r"])).toEqual(["read:runs"]);
});

test("help in bash offers a command's actions, and nothing after them", () => {
  expect(inBash(["help", "secrets", "ro"]).sort()).toEqual(["rollback", "rotate"]);
  expect(inBash(["help", "secrets", "rotate", ""])).toEqual([]);
  expect(inBash(["help", "run", ""])).toEqual([]);
});

test("no word of the table can be taken for anything else by a shell", () => {
  for (const { name, actions } of commandTable) {
    for (const action of actions) {
      const values = optionsOf(action).flatMap(
        (option) => (Array.isArray(option.values) ? option.values : []) as string[],
      );
      for (const word of [name, action.name, ...optionsOf(action).map((option) => option.name), ...values])
        expect(word).toMatch(/^[a-z0-9_:-]*$/);
    }
  }
});
