/**
 * Goal: a command fits its surroundings: colours and progress on a terminal only, quiet when its reader goes away, its prompt
 * shows nothing, and a signal leaves nothing running. A real terminal is made with `script`, where that is installed.
 */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test, vi } from "vitest";
import { EventPrinter, reportError, table } from "../../cli/terminal.ts";
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

describe("text that others wrote", () => {
  // Title of the window, clipboard, clear screen, back to the line's start, a C1 control sequence, right to left.
  const hostile = "a\u001b]0;title\u0007b\u001b]52;c;aGk=\u001b\\\u001b[2Jc\rd\u009b31me\u202Ef";
  const commanding = /(?![\n\t])[\p{Cc}\u202e]/u;

  const colour = new RegExp(`${escape.replace("[", "\\[")}\\d{1,2}m`, "g");

  test("commands no terminal in a log, and passes for no other line", () => {
    const lines: string[] = [];
    const printer = new EventPrinter((line) => lines.push(line), process.stdout);
    const time = "2027-01-31T10:00:00.000Z";
    printer.show({ kind: "stdout", time, text: `\tone  \r` });
    printer.show({ kind: "stdout", time, text: `\ntwo\r\n${hostile}` });
    printer.show({ kind: "log", time, level: "info", message: `${hostile}\u2028last` });
    const error = { code: "ERR_STEP_THREW", message: hostile, fault: "user", excerpt: hostile } as const;
    printer.show({ kind: "error", time, error });
    printer.end();
    expect(lines.map((line) => line.slice("10:00:00.000 ".length))).toEqual([
      "stdout  \tone  ",
      "stdout  two",
      "info    a]0;titleb]52;c;aGk=\\[2Jc",
      "info    d31mef",
      "info    last",
      "error   ERR_STEP_THREW: a]0;titleb]52;c;aGk=\\[2Jc",
      "error   d31mef",
      "error     a]0;titleb]52;c;aGk=\\[2Jc",
      "error   d31mef",
      "stdout  a]0;titleb]52;c;aGk=\\[2Jc",
      "stdout  d31mef",
    ]);
  });

  test("stays within its cell of a table, whose own colours do not move the next one", () => {
    vi.stubEnv("FORCE_COLOR", "1");
    const rows = [
      ["id", "state", "name"],
      [hostile, { text: "on", style: "green" as const }, "x\n\ty"],
    ];
    const [head, row, ...more] = table(rows).split("\n");
    vi.unstubAllEnvs();
    expect(more).toEqual([]);
    expect(row).toBe(`a]0;titleb]52;c;aGk=\\[2Jc d31mef  ${escape}32mon   ${escape}39m  x y`);
    expect(head).toBe(`${"id".padEnd(32)}  state  name`);
  });

  test("is one line in an error's message", () => {
    const write = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    reportError(
      Object.assign(new Error(`no\nhint: ${hostile}`), { name: "StepvaultApiError", code: `ERR_${hostile}` }),
    );
    const told = write.mock.calls.map(([text]) => String(text)).join("");
    write.mockRestore();
    expect(told).toMatch(/^error\[ERR_a.*\]: no hint: a\]0;title.*\n$/);
    expect(told).not.toMatch(commanding);
  });

  test("of a step that runs here is shown with the command's own colours alone, and its output is JSON", async () => {
    const file = path.join(folder, "hostile.js");
    const text = JSON.stringify(hostile);
    writeFileSync(
      file,
      `console.log(${text}); console.error("x\\ty"); if (params.fail) throw new Error(${text}); return ${text}`,
    );
    const colours = { ...env, FORCE_COLOR: "1" };
    const [good, bad] = await Promise.all([
      stepvault(["run", file], { env: colours }),
      stepvault(["run", file, "--param", "fail"], { env: colours }),
    ]);
    expect([good.code, JSON.parse(good.stdout)]).toEqual([0, hostile]);
    expect(good.stdout.trimEnd()).not.toMatch(/\p{Cc}/u);
    expect(good.stderr).toContain("x\ty\n");
    expect([bad.code, bad.stderr.includes("ERR_STEP_THREW: Error: a]0;title")]).toEqual([1, true]);
    for (const { stderr } of [good, bad]) {
      expect(stderr).toContain(`${escape}90m`);
      expect(stderr.replaceAll(colour, "")).not.toMatch(commanding);
    }
  }, 60_000);
});

describe("a full disk", () => {
  const toFull = (words: string, more = ""): ReturnType<typeof spawnSync> =>
    spawnSync("/bin/bash", ["--norc", "-c", `"${process.execPath}" "${main}" ${words} ${more}`], {
      cwd: folder,
      env: { PATH: process.env["PATH"], ...env },
      encoding: "utf8",
    });

  test.each(["help", "keys --help", "--version", "redact --secrets none.json < none.json"])(
    "is told once as an error, not as a stack: %s",
    (words) => {
      writeFileSync(path.join(folder, "none.json"), '{"A":"a-value-to-look-for"}');
      const { status, stderr } = toFull(words, "> /dev/full");
      expect([status, stderr]).toEqual([
        4,
        "error[ERR_INTERNAL]: Cannot write the output: ENOSPC\nhint: make room, or have it written elsewhere\n",
      ]);
    },
    60_000,
  );

  test("behind stderr takes no command down", () => {
    expect(toFull("help", "2> /dev/full")).toMatchObject({ status: 0, stdout: expect.stringContaining("Usage:") });
    expect(toFull("secerts", "2> /dev/full")).toMatchObject({ status: 4, stdout: "" });
  }, 60_000);
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
