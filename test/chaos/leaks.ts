/**
 * That no value is left anywhere: tables, Redis, what every process has said, and every file that the servers and the
 * processes wrote, core files among them. The files that are to hold a key or a password are the only ones left out.
 */
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import path from "node:path";
import { knownValues } from "../helpers/known-values.ts";
import { ByteSearch, needlesOfBytes, needlesOfText } from "../helpers/byte-search.ts";
import { searchForValues } from "../helpers/no-values.ts";
import type { Deployment } from "./deployment.ts";

const partBytes = 8 * 1024 * 1024;
/** Longer than any needle. */
const overlapBytes = 4_096;
const holders = /^(?:master\.key|stepvault\.password|redis\.conf|filler)$/;

export interface LeakReport {
  readonly found: readonly string[];
  readonly files: number;
  readonly bytes: number;
  readonly cores: readonly string[];
}

/** All servers must run. The key that asks for runs must not be anywhere either. */
export async function searchEverything({
  database,
  config,
  disk,
  logs,
  key,
  passwords,
}: Deployment): Promise<LeakReport> {
  const searched = await searchForValues(database, config);
  const known = await knownValues(database, config);
  const search = new ByteSearch([
    ...known.values.flatMap(({ value, label }) => needlesOfText(value, label)),
    ...known.keys.flatMap(({ key: bytes, label }) => needlesOfBytes(bytes, label)),
    ...needlesOfText(key, "the platform key"),
    ...passwords.flatMap((password) => needlesOfText(password, "a server's password")),
  ]);
  const found = new Set(searched.found);
  const cores: string[] = [];
  let bytes = searched.bytes;
  const files = [...filesBelow(disk.folder), ...filesBelow(logs)];
  for (const file of files) {
    const name = path.basename(file);
    if (/^core(?:\.\d+)?$/.test(name)) cores.push(file);
    if (holders.test(name)) continue;
    for (const part of partsOf(file)) {
      bytes += part.length;
      for (const label of search.find(part)) found.add(`${label} in ${name}`);
    }
  }
  return { found: [...found], files: files.length, bytes, cores };
}

/** The cache holds packages and snapshots, made before there was any value. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const whole = path.join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "cache" ? [] : filesBelow(whole);
    return entry.isFile() ? [whole] : [];
  });
}

function* partsOf(file: string): Generator<Buffer> {
  let size: number;
  try {
    ({ size } = statSync(file));
  } catch {
    return; // Servers remove files of their own.
  }
  if (size <= partBytes) {
    yield readFileSync(file);
    return;
  }
  const handle = openSync(file, "r");
  try {
    for (let from = 0; from < size; from += partBytes - overlapBytes) {
      const part = Buffer.alloc(Math.min(partBytes, size - from));
      yield part.subarray(0, readSync(handle, part, 0, part.length, from));
    }
  } finally {
    closeSync(handle);
  }
}
