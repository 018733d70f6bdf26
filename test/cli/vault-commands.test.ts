/**
 * The commands on the vault as an operator runs them, each in a process of its own on a real database: what goes to stdout and
 * stderr, and the exit codes. Values come from stdin and are shown by `--reveal` and `export` alone.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTemporary, type Temporary } from "../database/temporary.ts";

const command = path.resolve(import.meta.dirname, "../../cli/main.ts");
let temporary: Temporary;
let organization: string;
let project: string;

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(args: readonly string[], input = ""): Ended {
  const env = { PATH: process.env["PATH"], STEPVAULT_DATA_DIR: temporary.config.dataDir };
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], { env, input, encoding: "utf8" });
  return { status, stdout, stderr };
}

const secrets = (action: string, args: readonly string[] = [], input?: string): Ended =>
  run(["secrets", action, ...args, "--project", project], input);
const lines = ({ stdout }: Ended): string[] => stdout.trimEnd().split("\n");
const inFile = (name: string, text: string): string => {
  const file = path.join(temporary.config.dataDir, name);
  writeFileSync(file, text);
  return file;
};

beforeAll(async () => {
  temporary = await openTemporary();
  organization = run(["organizations", "create", "Acme"]).stdout.trim();
  project = run(["projects", "create", "Support", "--organization", organization]).stdout.trim();
}, 120_000);
afterAll(async () => await temporary.dispose());

test("organizations and projects are made and listed by id", () => {
  expect(lines(run(["organizations", "list"]))[1]).toMatch(new RegExp(`^${organization} .*Acme$`));
  const listed = run(["projects", "list", "--organization", organization, "--json"]);
  expect(JSON.parse(listed.stdout)).toMatchObject({ id: project, name: "Support" });
  expect(run(["projects", "create", "Support"])).toMatchObject({ status: 2, stdout: "" });
});

describe("stepvault secrets", () => {
  test("stores a value from stdin, tells its versions and goes back, and shows a value when that is asked for alone", () => {
    const policy = inFile("policy.json", JSON.stringify({ hosts: ["api.example.com"] }));
    const set = secrets(
      "set",
      ["KEY", "--policy", policy, "--description", "of the shop", "--tag", "shop"],
      "first-value\n",
    );
    expect(set).toEqual({ status: 0, stdout: "", stderr: "KEY is at version 1\n" });
    expect(secrets("rotate", ["KEY"], "second-value").stderr).toBe("KEY is at version 2\n");
    expect(lines(secrets("list"))[1]).toMatch(/^KEY +2 +on +readable +never +never$/);
    expect(lines(secrets("history", ["KEY"])).slice(1)).toEqual([
      expect.stringMatching(/^2 .*system operator .*in use$/),
      expect.stringMatching(/^1 .*ends when unused$/),
    ]);
    expect(secrets("rollback", ["KEY", "--to", "1"]).stderr).toBe("version 3 has what version 1 had\n");
    const shown = secrets("get", ["KEY"]);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      name: "KEY",
      version: 3,
      description: "of the shop",
      sharedWith: {},
    });
    expect(shown.stdout).not.toContain("first-value");
    expect(secrets("get", ["KEY", "--reveal"]).stdout).toBe("first-value\n");
    expect(secrets("set", ["KEY", "--if-version", "1"], "x-value").stderr).toContain(
      "error[ERR_SECRET_VERSION_CONFLICT]",
    );
  }, 240_000);

  test("switches, deletes, restores, destroys, and explains what a name means", () => {
    secrets("set", ["OTHER"], "other-value");
    secrets("disable", ["OTHER"]);
    const off = secrets("explain", ["OTHER"]);
    expect([off.status, off.stdout]).toEqual([1, expect.stringContaining("switched off")]);
    secrets("enable", ["OTHER"]);
    expect(secrets("explain", ["OTHER"]).status).toBe(0);
    secrets("delete", ["OTHER"]);
    expect(secrets("list").stdout).toMatch(/^OTHER +1 +deleted/m);
    secrets("restore", ["OTHER"]);
    expect(secrets("destroy", ["OTHER"]).status).toBe(2);
    expect(secrets("destroy", ["OTHER", "--all"]).stderr).toBe("destroyed: version 1\n");
    expect(secrets("history", ["OTHER"]).stderr).toContain("error[ERR_SECRET_UNKNOWN]");
    expect(secrets("verify")).toMatchObject({ status: 0, stdout: "whole\n" });
  }, 240_000);

  test("imports after a look, exports, and tells faults by their lines", () => {
    const file = inFile("in.env", "FROM_FILE='imported value'\n");
    expect(lines(secrets("import", [file, "--dry-run"]))).toEqual([
      expect.stringMatching(/^name +would/),
      expect.stringMatching(/^FROM_FILE +create +value$/),
    ]);
    expect(lines(secrets("import", [file]))[1]).toMatch(/^FROM_FILE +create/);
    expect(lines(secrets("import", [file]))[1]).toMatch(/^FROM_FILE +same/);
    const exported = secrets("export", ["--format", "env"]);
    expect(exported.stdout).toContain("imported value");
    expect(exported.stderr).toContain("withheld: KEY, as it has a policy");
    const wrong = secrets("import", [inFile("wrong.env", "A=\nB='unfinished")]);
    expect(wrong).toMatchObject({ status: 1, stdout: "" });
    expect(wrong.stderr).toMatch(/line 1.*line 2/);
    expect(wrong.stderr).not.toContain("unfinished'");
  }, 240_000);

  test("is told how it is called when it is called wrongly, without what was typed", () => {
    for (const args of [["set"], ["fly", "KEY"], ["set", "KEY", "a-value-in-argv"], ["rollback", "KEY", "--to", "x"]]) {
      const { status, stderr } = secrets(args[0]!, args.slice(1), "a value");
      expect([args, status]).toEqual([args, 2]);
      expect(stderr).toMatch(/^error\[ERR_USAGE\]: .*\nhint: stepvault .*secrets/);
      expect(stderr).not.toContain("a-value-in-argv");
    }
    expect(run(["secrets", "list"]).status).toBe(2);
    expect(secrets("set", ["EMPTY"], "").stderr).toContain("error[ERR_SECRET_VALUE_INVALID]");
  }, 240_000);
});

describe("stepvault keys and stepvault leaks", () => {
  test("make, list, rotate and end keys; the key is on stdout once; a leak is found and ended", () => {
    const at = ["--project", project];
    const made = run(["keys", "create", "--name", "CI", "--scope", "trigger", "--expires-days", "30", ...at]);
    expect(made.stdout).toMatch(/^sk-us_[0-9A-Za-z]{49}\n$/);
    expect(made.stderr).not.toContain(made.stdout.trim());
    const { id } = JSON.parse(run(["keys", "list", "--json", ...at]).stdout) as { id: string };
    const rotated = run(["keys", "rotate", id, "--grace-days", "1", "--expires-days", "30", ...at]);
    expect(rotated.stdout).toMatch(/^sk-us_/);
    expect(lines(run(["keys", "list", ...at]))).toHaveLength(3);
    const found = run(["leaks", "find", "--organization", organization], `key=${made.stdout.trim()} first-value`);
    expect(found.status).toBe(1);
    expect(found.stdout).toMatch(/^secret KEY v1 +no/m);
    expect(found.stdout).toMatch(/^key sk-us_….{4} +yes/m);
    const ended = run(["leaks", "end", "--organization", organization], made.stdout);
    expect(ended.stderr).toContain(`key ${id}: revoked`);
    expect(run(["keys", "list", ...at]).stdout).toMatch(new RegExp(`^${id} .* revoked `, "m"));
    expect(run(["leaks", "find", "--organization", organization], "nothing of ours").status).toBe(0);
    expect(run(["keys", "create", "--name", "CI", "--scope", "fly", ...at]).status).toBe(2);
  }, 240_000);
});
