/**
 * The snapshot's file. Goal: it starts every run, and nobody else than this user can have made or changed it. Method: a
 * folder of its own; files and modes changed as an attacker or a broken disk would.
 */
import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { HostProcess } from "../../../runtime/host-process.ts";
import { cutScripts } from "../../../runtime/host/pyodide-cut.ts";
import { isIntact, readSnapshot } from "../../../runtime/host/snapshot-file.ts";
import { ensureSnapshot } from "../../../runtime/snapshot.ts";

let folder: string;
let file: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-snapshot-"));
  const made = readdirSync(inject("cacheDir")).find((name) => name.endsWith(".snapshot")) ?? "";
  file = path.join(folder, made);
  writeFileSync(file, readFileSync(path.join(inject("cacheDir"), made)), { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const options = (cacheDir: string): Parameters<typeof ensureSnapshot>[0] => ({ cacheDir, pythonPackages: undefined });
const refused = (message: string): unknown =>
  expect.objectContaining({ code: "ERR_SANDBOX_START", message: expect.stringContaining(message) });

describe("the snapshot's file", () => {
  test("is used when it is there and whole, and is only this user's to write", async () => {
    expect(await ensureSnapshot(options(folder))).toBe(file);
    expect(statSync(inject("cacheDir")).mode & 0o077).toBe(0);
    expect(statSync(path.join(inject("cacheDir"), path.basename(file))).mode & 0o077).toBe(0);
  });
  test("is refused by a host when others may write it, through a link, and when it is cut short", () => {
    const other = path.join(folder, "other.snapshot");
    writeFileSync(other, readFileSync(file).subarray(0, 5_000_000), { mode: 0o600 });
    expect(() => readSnapshot(other)).toThrow(refused("bytes are not what its index says"));
    chmodSync(other, 0o666);
    expect(() => readSnapshot(other)).toThrow(refused("others than this user"));
    symlinkSync(file, path.join(folder, "link.snapshot"));
    expect(() => readSnapshot(path.join(folder, "link.snapshot"))).toThrow(/ELOOP/);
  });
  test("is made anew when a byte of it has changed", async () => {
    const changed = mkdtempSync(path.join(folder, "changed-"));
    const bytes = readFileSync(file);
    bytes[bytes.length >> 1]! ^= 1;
    const target = path.join(changed, path.basename(file));
    writeFileSync(target, bytes, { mode: 0o600 });
    expect(isIntact(target)).toBe(false);
    expect(await ensureSnapshot(options(changed))).toBe(target);
    expect(isIntact(target)).toBe(true);
    const host = await HostProcess.start({ type: "boot", language: "python", snapshotFile: target });
    host.kill();
  });
  test("is not looked for in a folder that others may write to", async () => {
    const shared = mkdtempSync(path.join(folder, "shared-"));
    chmodSync(shared, 0o777);
    await expect(ensureSnapshot(options(shared))).rejects.toEqual(refused("others than this user may write to it"));
  });
  test("is not made from another version of Pyodide than the one that the cuts know", () => {
    const sources = { module: "export default _createPyodideModule;", loader: "", linkable: false };
    expect(() => cutScripts(sources)).toThrow(refused("is this another version of Pyodide?"));
  });
});
