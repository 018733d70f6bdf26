/**
 * The file from which a Python interpreter is restored: named parts, one after the other, behind an index. Each part is
 * read straight into a buffer of its own, which can be handed to an isolate without another copy. Whoever can write
 * this file decides what runs in a sandbox host, so a file that others may have written is refused.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { StepvaultError } from "../../protocol/error.ts";

export const snapshotParts = ["script", "scriptCache", "wasm", "state", "runs", "pages", "packages"] as const;
export type SnapshotPart = (typeof snapshotParts)[number];
export type Snapshot = Record<SnapshotPart, ArrayBuffer>;

const magic = "stepvault python snapshot 1\n";
const indexBytes = 512;
/** Others of this machine may read the file, but not write it. */
const writableByOthers = 0o022;

export function encodeSnapshot(parts: Record<SnapshotPart, Uint8Array>): Buffer {
  const lengths = snapshotParts.map((name) => parts[name].length);
  const body = Buffer.concat(snapshotParts.map((name) => parts[name]));
  const index = Buffer.alloc(indexBytes, " ");
  index.write(`${magic}${JSON.stringify({ lengths, sha256: hashOf(body) })}`);
  return Buffer.concat([index, body]);
}

/** Whether a file is a whole snapshot, by the hash of its bytes that it begins with. Too slow for every start. */
export function isIntact(file: string): boolean {
  const bytes = readFileSync(file);
  return readIndex(bytes.subarray(0, indexBytes)).sha256 === hashOf(bytes.subarray(indexBytes));
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function readIndex(bytes: Uint8Array): { lengths: number[]; sha256: string } {
  const text = Buffer.from(bytes).toString("latin1");
  if (!text.startsWith(magic)) return { lengths: [], sha256: "" };
  return JSON.parse(text.slice(magic.length)) as { lengths: number[]; sha256: string };
}

/** Throws ERR_SANDBOX_START when the file is not whole, or not only ours to write. */
export function readSnapshot(file: string): Snapshot {
  const descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { uid, mode, size } = fstatSync(descriptor);
    if (uid !== process.geteuid?.() || (mode & writableByOthers) !== 0)
      throw refused("others than this user may write it");
    const { lengths } = readIndex(new Uint8Array(readPart(descriptor, 0, indexBytes)));
    if (
      lengths.length !== snapshotParts.length ||
      indexBytes + lengths.reduce((sum, length) => sum + length, 0) !== size
    )
      throw refused(`its ${size} bytes are not what its index says`);
    let at = indexBytes;
    const parts = snapshotParts.map((name, i) => {
      const length = lengths[i] ?? 0;
      at += length;
      return [name, readPart(descriptor, at - length, length)] as const;
    });
    return Object.fromEntries(parts) as Snapshot;
  } finally {
    closeSync(descriptor);
  }
}

/** A file's bytes in a buffer of their own, as giving it to an isolate asks for. */
export function readBuffer(file: string): ArrayBuffer {
  const descriptor = openSync(file, constants.O_RDONLY);
  try {
    return readPart(descriptor, 0, fstatSync(descriptor).size);
  } finally {
    closeSync(descriptor);
  }
}

function readPart(descriptor: number, position: number, length: number): ArrayBuffer {
  const buffer = new ArrayBuffer(length);
  const bytes = new Uint8Array(buffer);
  for (let read = 0; read < length;) {
    const count = readSync(descriptor, bytes, read, length - read, position + read);
    if (count === 0) throw refused(`it ends after ${position + read} bytes`);
    read += count;
  }
  return buffer;
}

function refused(reason: string): StepvaultError {
  return new StepvaultError("ERR_SANDBOX_START", `Cannot read the python snapshot: ${reason}`);
}
