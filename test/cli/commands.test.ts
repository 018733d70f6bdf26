/** The commands as a user starts them: data on stdout, the rest on stderr, exit codes by fault, and never a value. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { startUpstream } from "../helpers/upstream.ts";

const main = path.join(import.meta.dirname, "../../cli/main.ts");
const key = "sk-proj-8f3b2c1d9e7a6f5b4c3d";
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-cli-"));
  symlinkSync(inject("cacheDir"), path.join(folder, "cache"));
  writeFileSync(path.join(folder, "secrets.env"), `# keys\nexport api_key="${key}"\nother='x y'\n`);
  writeFileSync(path.join(folder, "secrets.json"), JSON.stringify({ api_key: key }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

async function stepvault(
  args: string[],
  { input = "", env = {} }: { input?: string; env?: Record<string, string> } = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], {
    cwd: folder,
    env: { PATH: process.env["PATH"], STEPVAULT_DATA_DIR: folder, ...env },
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
  child.stdin.end(input);
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout, stderr };
}

function write(name: string, text: string): string {
  writeFileSync(path.join(folder, name), text);
  return name;
}

describe("stepvault run", () => {
  test("prints the output on stdout and the redacted log on stderr, in both languages", async () => {
    const js = await stepvault([
      "run",
      write(
        "a.js",
        "console.log(`key ${<<secrets.api_key>>}`); return { city: params.city, n: params.n, k: <<secrets.api_key>> }",
      ),
      "--param",
      "city=Bern",
      "--param",
      "n=3",
      "--secrets",
      "secrets.env",
    ]);
    expect([js.code, JSON.parse(js.stdout)]).toEqual([0, { city: "Bern", n: 3, k: "[REDACTED:api_key]" }]);
    expect(js.stderr).toMatch(/info\s+key \[REDACTED:api_key\]/);
    const py = await stepvault([
      "run",
      write("a.py", 'print("key", <<secrets.api_key>>)\nreturn params'),
      "--params-file",
      write("p.json", '{"x": [1]}'),
      "--secrets",
      "secrets.json",
    ]);
    expect([py.code, JSON.parse(py.stdout)]).toEqual([0, { x: [1] }]);
    expect(py.stderr).toMatch(/stdout\s+key \[REDACTED:api_key\]/);
    for (const text of [js.stdout, js.stderr, py.stdout, py.stderr]) expect(text).not.toContain(key);
  });
  test("runs TypeScript with a package, and shows the line where it fails", async () => {
    const text = "export const twice = (n) => n * 2;\n";
    mkdirSync(path.join(folder, "packages"));
    write("packages/doubles.mjs", text);
    const locking = await stepvault(["packages", "lock", path.join(folder, "packages")]);
    expect([locking.code, locking.stdout]).toEqual([0, expect.stringMatching(/^[0-9a-f]{64} {2}doubles\.mjs\n$/)]);
    const env = { STEPVAULT_JAVASCRIPT_PACKAGES: path.join(folder, "packages") };
    const file = write(
      "t.ts",
      'import { twice } from "doubles";\nconst n: number = twice(params.n);\nif (n > 5) throw new Error(`too many: ${n}`);\nreturn n as number',
    );
    const good = await stepvault(["run", file, "--param", "n=2"], { env });
    expect([good.code, good.stdout]).toEqual([0, "4\n"]);
    const bad = await stepvault(["run", file, "--param", "n=3"], { env });
    expect(bad.stderr).toMatch(/too many: 6 \(line 3, column 18\)\n.*if \(n > 5\) throw new Error.*\n.* {19}\^\n/);
    write("packages/doubles.mjs", `${text}// changed`);
    const changed = await stepvault(["run", file, "--param", "n=2"], { env });
    expect([changed.code, changed.stderr]).toEqual([4, expect.stringContaining("ERR_PACKAGES_INVALID")]);
  });
  test("exits by whose fault the end was", async () => {
    expect((await stepvault(["run", write("e.js", "throw new Error('no')")])).code).toBe(1);
    expect((await stepvault(["run"])).code).toBe(2);
    expect((await stepvault(["run", write("l.js", "for (;;);"), "--limit", "wallTimeMsMax=200"])).code).toBe(3);
    expect((await stepvault(["run", write("x.js", "1")], { env: { STEPVAULT_REGION: "mars" } })).code).toBe(4);
  });
  test("--json prints the whole result, also of a failed run", async () => {
    const { code, stdout } = await stepvault([
      "run",
      write("j.js", "throw new Error(<<secrets.api_key>>)"),
      "--secrets",
      "secrets.env",
      "--json",
    ]);
    expect([code, JSON.parse(stdout)]).toMatchObject([
      1,
      { status: "failed", error: { code: "ERR_STEP_THREW", message: "Error: [REDACTED:api_key]" } },
    ]);
  });
  test("an unknown secret is told with its position and the closest name", async () => {
    const { code, stderr } = await stepvault([
      "run",
      write("u.js", "\n  return <<secrets.api_kex>>"),
      "--secrets",
      "secrets.env",
    ]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/ERR_SECRET_UNKNOWN.*did you mean "api_key".*line 2, column 10/),
    ]);
  });
  test("a sealed secret of the file reaches its host, and the step only its placeholder", async () => {
    const upstream = await startUpstream({ tls: false });
    const host = `127.0.0.1:${upstream.port}`;
    const secrets = JSON.stringify({ api_key: { value: key, sealed: true, hosts: [host] } });
    const code = `const r = await fetch("http://${host}/", { headers: { "x-api-key": <<secrets.api_key>> } });
      console.log(await r.text()); try { await fetch("http://" + <<secrets.api_key>> + "/") } catch (e) { return [<<secrets.api_key>>.slice(0, 7), e.code] }`;
    const args = ["run", write("sealed.js", code), "--secrets", write("sealed.json", secrets), "--open", host];
    const { code: exit, stdout, stderr } = await stepvault(args);
    upstream.close();
    expect(upstream.arrived.map(({ headers }) => headers["x-api-key"])).toEqual([key]);
    expect([exit, JSON.parse(stdout)]).toEqual([0, ["sealed_", "ERR_SEALED_REFUSED"]]);
    expect(stderr).toContain('"x-api-key":"[REDACTED:api_key]"');
    expect(stderr).toMatch(/security\s+blocked: api_key in GET sealed_[0-9a-f]{32} \(place\)/);
    expect(stdout + stderr).not.toContain(key);
  });
  test("a step reaches a private address only when it was opened", async () => {
    const file = write("n.js", 'try { await fetch("http://127.0.0.1:2/") } catch (e) { return e.code }');
    expect(JSON.parse((await stepvault(["run", file])).stdout)).toBe("ERR_EGRESS_REFUSED");
    expect(JSON.parse((await stepvault(["run", file, "--open", "127.0.0.1:2"])).stdout)).toBe("ERR_EGRESS_FAILED");
  });
});

describe("stepvault redact", () => {
  test("replaces values and their encodings in a pipe and leaves all else, byte for byte", async () => {
    const input = `\u0000a ${key} ${Buffer.from(key).toString("base64")} ${encodeURIComponent(key)} end`;
    const { code, stdout } = await stepvault(["redact", "--secrets", "secrets.env"], { input });
    expect([code, stdout]).toEqual([0, "\u0000a [REDACTED:api_key] [REDACTED:api_key] [REDACTED:api_key] end"]);
  });
  test("a wrong secrets file is told by line, never by what stands in it", async () => {
    const { code, stderr } = await stepvault(["redact", "--secrets", write("bad.env", `ok=1\n${key}\n`)]);
    expect(code).toBe(1);
    expect(stderr).toContain("line 2");
    expect(stderr).not.toContain(key);
  });
});

describe("stepvault", () => {
  test("shows help on stdout when asked, and on stderr when called wrongly", async () => {
    const asked = await stepvault(["--help"]);
    expect([asked.code, asked.stderr]).toEqual([0, ""]);
    for (const name of ["start", "run", "redact", "demo"]) {
      expect(asked.stdout).toContain(name);
      expect((await stepvault([name, "--help"])).stdout).toContain(`stepvault ${name}`);
    }
    const wrong = await stepvault([key]);
    expect([wrong.code, wrong.stdout]).toEqual([2, ""]);
    expect(wrong.stderr).not.toContain(key);
    expect((await stepvault(["run", "x.js", `--${key}`])).stderr).not.toContain(key);
  });
  test("an error has its code and a hint", async () => {
    const { stderr } = await stepvault(["run", "none.rb"]);
    expect(stderr).toMatch(/^error\[ERR_[A-Z_]+\]: .*\nhint: /);
  });
  test("a file that is missing, or is not JSON, is told without its content", async () => {
    const missing = await stepvault(["run", "missing.js"]);
    expect([missing.code, missing.stderr]).toEqual([
      1,
      expect.stringContaining("error[ERR_FILE_UNREADABLE]: Cannot read the step: ENOENT"),
    ]);
    const broken = await stepvault(["run", write("b.js", "1"), "--params-file", write("broken.json", key)]);
    expect([broken.code, broken.stderr]).toEqual([1, expect.not.stringContaining(key)]);
  });
  test("the demo runs its four steps, finds no value anywhere, and exits 0", async () => {
    const { code, stdout, stderr } = await stepvault(["demo"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.match(/succeeded/g)).toHaveLength(4);
    expect(stdout).toContain("The outputs of the two languages are equal.");
    expect(stdout).toContain("found nowhere");
    expect(stdout).toContain("[REDACTED:crm_api_key]");
  }, 120_000);
});
