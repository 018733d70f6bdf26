/**
 * Goal: a process that opened the vault leaves no key in a core dump. What the kernel would put into one is read back from
 * it; making a dump is up to the machine's settings.
 */
import { readFile, writeFile } from "node:fs/promises";
import { afterAll, expect, test } from "vitest";
import { openVault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

const filter = "/proc/self/coredump_filter";
let temporary: Temporary | undefined;

afterAll(async () => await temporary?.dispose());

test("opening the vault leaves no kind of memory for a core dump", async () => {
  await writeFile(filter, "0x33");
  temporary = await openTemporary();
  const vault = await openVault(temporary.database, temporary.config);
  vault.close();
  expect(Number.parseInt(await readFile(filter, "utf8"), 16)).toBe(0);
});
