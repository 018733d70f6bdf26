/**
 * Goal: a command fits its surroundings: colours and progress on a terminal only, quiet when its reader goes away, its prompt
 * shows nothing, and a signal leaves nothing running. A real terminal is made with `script`, where that is installed.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { start, stepvault } from "./stepvault.ts";

const main = path.resolve(import.meta.dirname, "../../cli/main.ts");
const escape = "\u001b[";
let folder: string;
let env: Record<string, string>;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-terminal-"));
  symlinkSync(inject("cacheDir"), path.join(folder, "cache"));
  writeFileSync(path.join(folder, "slow.js"), "console.log('begun'); await new Promise((r) => setTimeout(r, 30_000))");
  writeFileSync(path.join(folder, "one.mjs"), "export const one = 1;\n");
  env = { STEPVAULT_DATA_DIR: folder };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const hasScript = spawnSync("script", ["--version"]).status === 0;

/** What a terminal shows; what is typed comes after the prompt. */
async function onTerminal(
  words: string,
  { typed = "", more = {} }: { typed?: string; more?: Record<string, string> } = {},
): Promise<string> {
  const command = `${process.execPath} ${main} ${words}`;
  const child = spawn("script", ["-qec", command, "/dev/null"], {
    env: { PATH: process.env["PATH"], TERM: "xterm", ...env, ...more },
  });
  let shown = "";
  let written = typed === "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    shown += text;
    if (written || !shown.includes("(not shown): ")) return;
    written = true;
    child.stdin.write(typed);
  });
  await once(child, "close");
  return shown;
}

describe("colours", () => {
  test("are not in what goes into a pipe, unless they are asked for", async () => {
    const [plain, forced, both] = await Promise.all([
      stepvault(["secerts"], { env }),
      stepvault(["secerts"], { env: { ...env, FORCE_COLOR: "1" } }),
      stepvault(["secerts"], { env: { ...env, NO_COLOR: "1" } }),
    ]);
    expect(plain.stderr).toMatch(/^error\[ERR_USAGE\]: .*did you mean secrets\?\nhint: stepvault help\n$/);
    expect(forced.stderr).toContain(`${escape}31merror[ERR_USAGE]`);
    expect(both.stderr).toBe(plain.stderr);
  }, 60_000);

  test.skipIf(!hasScript)(
    "and progress are on a terminal, and NO_COLOR takes colours away",
    async () => {
      const [shown, bare, lock] = await Promise.all([
        onTerminal("secerts"),
        onTerminal("secerts", { more: { NO_COLOR: "1" } }),
        onTerminal(`packages lock ${folder} --json`),
      ]);
      expect(shown).toContain(`${escape}31merror[ERR_USAGE]`);
      expect(bare).not.toContain(escape);
      expect(lock).toMatch(/reading .*… 0 s.*\{"path":"one\.mjs"/s);
      const piped = await stepvault(["packages", "check", folder], { env });
      expect(piped.stderr).toBe("");
    },
    60_000,
  );
});

describe("a prompt", () => {
  test.skipIf(!hasScript)(
    "shows nothing of the value that is typed, and Ctrl-C leaves it",
    async () => {
      const id = "0199c0de-0000-7000-8000-000000000000";
      const shown = await onTerminal(`secrets set KEY --project ${id}`, { typed: "typed-and-unseen\r" });
      expect(shown).toContain("the value of KEY (not shown): ");
      expect(shown).toContain("ERR_PROJECT_UNKNOWN");
      expect(shown).not.toContain("typed-and-unseen");
      const left = await onTerminal(`secrets set KEY --project ${id}; echo exit $?`, { typed: "half\u0003" });
      expect(left).not.toContain("half");
      expect(left).not.toContain("ERR_");
    },
    90_000,
  );
});

describe("a reader that goes away", () => {
  test("ends a command quietly", () => {
    const shell = `set -o pipefail; "${process.execPath}" "${main}" completion bash | head -1; echo "code \${PIPESTATUS[0]}"`;
    const { stdout, stderr } = spawnSync("/bin/bash", ["--norc", "-c", shell], {
      env: { PATH: process.env["PATH"], ...env },
      encoding: "utf8",
    });
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^# bash completion.*\ncode 0\n$/);
    const none = execFileSync(
      "/bin/bash",
      ["--norc", "-c", `"${process.execPath}" "${main}" doctor 2>&1 >&- | cat; true`],
      {
        env: { PATH: process.env["PATH"], ...env },
        encoding: "utf8",
      },
    );
    expect(none).not.toMatch(/EPIPE|EBADF|at .*\.ts/);
  }, 60_000);
});

describe("a signal", () => {
  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)(
    "%s ends a step that runs here with %i, and its sandbox",
    async (signal, exitCode) => {
      const { child, ended } = start(["run", path.join(folder, "slow.js")], env);
      await new Promise<void>((resolve) =>
        child.stderr.on("data", (text: string) => text.includes("begun") && resolve()),
      );
      const children = execFileSync("ps", ["-o", "pid=", "--ppid", String(child.pid)], { encoding: "utf8" })
        .trim()
        .split(/\s+/);
      expect(children.length).toBeGreaterThan(0);
      child.kill(signal);
      expect(await ended).toMatchObject({ code: exitCode, stdout: "" });
      for (const pid of children) expect(() => process.kill(Number(pid), 0)).toThrow("ESRCH");
    },
    60_000,
  );

  test("stops the database that a command has started", async () => {
    const { child, ended } = start(["leaks", "find", "--organization", "0199c0de-0000-7000-8000-000000000000"], env);
    child.stdin.end("text");
    await ended;
    const left = execFileSync(
      "/bin/bash",
      ["--norc", "-c", `ps -eo args | grep -F "${folder}/postgres" | grep -v grep || true`],
      { encoding: "utf8" },
    );
    expect(left).toBe("");
  }, 60_000);
});
