/**
 * The operator's Python packages. Goal: real packages can be imported, and nothing runs that was not locked. Method: wheels
 * made from Debian's packages in a real host, and a folder that is changed after it was locked.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findPackageFiles, lockFileName, writeLock } from "../../../runtime/packages.ts";
import { readWheels, toWheels } from "../../../runtime/python-packages.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";
import { debianWheels, writeWheel } from "./wheel.ts";

const main = path.join(import.meta.dirname, "../../../cli/main.ts");
let folder: string;
let sandbox: Sandbox;
const lock = (packages: string): void => writeLock(packages, findPackageFiles(packages));
const openSandbox = (pythonPackages: string): Sandbox =>
  openTestSandbox([], 0, { cacheDir: path.join(folder, "cache"), pythonPackages });

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-packages-"));
  debianWheels(folder, ["idna", "certifi", "six", "urllib3", "chardet", "requests"]);
  lock(folder);
  sandbox = openSandbox(folder);
});
afterAll(async () => {
  await sandbox.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A locked folder with one wheel of our own. */
function ownFolder(name: string, contents: Record<string, string>, wheel = "mine-1.0-py3-none-any.whl"): string {
  const own = path.join(folder, name);
  mkdirSync(own);
  writeWheel(path.join(own, wheel), contents);
  return own;
}

const refusal = (message: string): unknown =>
  expect.objectContaining({ code: "ERR_PACKAGES_INVALID", fault: "system", message: expect.stringContaining(message) });

describe("packages", () => {
  test("real packages are imported, with their data files and compiled beforehand", async () => {
    const code = `import idna, certifi, requests
prepared = requests.Request("GET", "http://zürich.example/a b", params={"q": "ä"}).prepare()
return [idna.encode("zürich.ch").decode(), "site-packages" in requests.__file__, requests.__cached__.endswith(".pyc"), prepared.url, certifi.__name__]`;
    const { output, outcome } = await runStep(sandbox, "python", code);
    expect("error" in outcome && outcome.error).toBe(false);
    expect(output).toEqual(["xn--zrich-kva.ch", true, true, "http://xn--zrich-kva.example/a%20b?q=%C3%A4", "certifi"]);
  });
  test("what one run does to a package is gone in the next", async () => {
    const code =
      'import idna, os\nwas = hasattr(idna, "left"); idna.left = 1; os.remove(idna.__file__)\nopen(idna.__file__, "w").write("bad")\nreturn was';
    expect((await runStep(sandbox, "python", code)).output).toBe(false);
    expect((await runStep(sandbox, "python", code)).output).toBe(false);
  });
  test("without the setting there is no package, and Pyodide's own installer has none", async () => {
    const plain = openTestSandbox([], 0);
    const code = `import pyodide_js
try: import idna
except ImportError: pass
else: return "imported"
try: await pyodide_js.loadPackage("idna")
except Exception as error: return str(error).split("\\n")[0]`;
    expect((await runStep(plain, "python", code, { network: "none" })).output).toContain("No known package");
    await plain.close();
  });
  test("an interpreter that can link compiled packages starts too", async () => {
    const own = ownFolder("linkable", { "tiny.py": "x = 41" }, "tiny-1.0-cp314-cp314-pyodide_2026_0_wasm32.whl");
    lock(own);
    const linkable = openSandbox(own);
    const { output } = await runStep(
      linkable,
      "python",
      "import ctypes, tiny\nreturn tiny.x + bool(ctypes.pythonapi.Py_IsInitialized())",
    );
    await linkable.close();
    expect(output).toBe(42);
  });
  test("a wheel that was changed after it was locked stops the start", () => {
    const own = ownFolder("changed", { "mine.py": "x = 1" });
    lock(own);
    expect(readWheels(own)).toHaveLength(1);
    appendFileSync(path.join(own, "mine-1.0-py3-none-any.whl"), "\0");
    expect(() => readWheels(own)).toThrow(refusal("the SHA-256 of mine-1.0-py3-none-any.whl begins with"));
  });
  test("a wheel that is not in the lock file, and one that is missing, stop the start", () => {
    const own = ownFolder("more", { "mine.py": "x = 1" });
    lock(own);
    writeWheel(path.join(own, "other-1.0-py3-none-any.whl"), { "other.py": "x = 1" });
    expect(() => readWheels(own)).toThrow(refusal("other-1.0-py3-none-any.whl is not in"));
    renameSync(path.join(own, "other-1.0-py3-none-any.whl"), path.join(own, "mine-1.0-py3-none-any.whl"));
    renameSync(path.join(own, "mine-1.0-py3-none-any.whl"), path.join(own, "away"));
    expect(() => readWheels(own)).toThrow(refusal("but the folder does not"));
  });
  test.each([
    ["no lock file", undefined],
    ["a lock file that is no JSON", "{"],
    ["a lock file with a hash that is none", '{"version":1,"files":{"mine-1.0-py3-none-any.whl":"00"}}'],
    ["a lock file of another version", '{"version":2,"files":{}}'],
  ])("%s stops the start", (what, text) => {
    const own = ownFolder(what.replaceAll(" ", "-"), { "mine.py": "x = 1" });
    if (text !== undefined) writeFileSync(path.join(own, lockFileName), text);
    expect(() => readWheels(own)).toThrow(refusal(lockFileName));
  });
  test.each([
    ["numpy-2.0-cp314-cp314-manylinux_2_28_x86_64.whl", "only pure Python"],
    ["numpy-2.0-cp313-cp313-pyodide_2025_0_wasm32.whl", "only pure Python"],
    ["old-1.0-py2-none-any.whl", "it is for py2"],
    ["noname.whl", "its name is not that of a wheel"],
  ])("%s is refused", (wheel, message) => {
    expect(() => toWheels(findPackageFiles(ownFolder(`refused-${wheel}`, { "x.py": "" }, wheel)))).toThrow(
      refusal(message),
    );
  });
  test("a wheel built for this Pyodide is marked as compiled", () => {
    const own = ownFolder("native", { "x.py": "" }, "numpy-2.0-cp314-cp314-pyodide_2026_0_wasm32.whl");
    expect(toWheels(findPackageFiles(own))).toMatchObject([{ native: true }]);
  });
  test.each([
    ["outside", { "../../outside.py": "x = 1" }, "lies outside of the package"],
    ["compiled", { "mine/fast.so": "\0asm" }, "holds compiled code"],
  ])("a wheel with a file that is %s stops the start", async (name, contents, message) => {
    const own = ownFolder(`bad-${name}`, contents);
    lock(own);
    const bad = openSandbox(own);
    const { outcome } = await runStep(bad, "python", "return 1");
    await bad.close();
    expect("error" in outcome && outcome.error).toEqual(refusal(message));
  });
  test("the command locks a folder, checks it, and says what is wrong with exit code 4", () => {
    const own = ownFolder("command", { "mine.py": "x = 1" });
    const packages = (action: string): ReturnType<typeof spawnSync> =>
      spawnSync(process.execPath, ["--no-warnings", main, "packages", action, own], { encoding: "utf8" });
    expect(packages("check")).toMatchObject({
      status: 4,
      stderr: expect.stringContaining("error[ERR_PACKAGES_INVALID]"),
    });
    expect(packages("lock")).toMatchObject({ status: 0, stdout: expect.stringMatching(/^[0-9a-f]{64} {2}mine-1\.0/) });
    expect(packages("check")).toMatchObject({ status: 0, stdout: expect.stringContaining("mine-1.0") });
    expect(packages("other")).toMatchObject({ status: 2 });
  });
  test("the lock file is plain JSON that can be reviewed", () => {
    const locked = JSON.parse(readFileSync(path.join(folder, lockFileName), "utf8")) as { files: object };
    expect(Object.keys(locked.files)).toContain("idna-1.0-py3-none-any.whl");
  });
});
