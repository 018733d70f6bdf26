/**
 * The interpreter's in-memory files: those of the packages, put back at each start, and how much a step may write. Files
 * lie in JavaScript's heap and not in the interpreter's memory, so they have a count of their own. Runs inside the
 * isolate; a step that reaches around this meets the isolate's own limit and the watchdog.
 */
import { GuestTextDecoder, GuestTextEncoder } from "./encoding.ts";

interface FileNode {
  readonly contents?: Uint8Array | Record<string, FileNode>;
}

export interface FileSystem {
  readonly root: FileNode;
  readonly ErrnoError: new (errno: number) => Error;
  mkdirTree(path: string): void;
  writeFile(path: string, bytes: Uint8Array, options?: { canOwn: boolean }): void;
  readFile(path: string): Uint8Array;
}

/** "No space left on device", as Emscripten counts. */
const noSpace = 51;

/** Called before a file grows. Throws when all files together would hold more than allowed. */
export function limitFiles(bytesMax: () => number | undefined): (files: FileSystem, bytes: number) => void {
  let claimed = 0;
  return (files, bytes) => {
    const allowed = bytesMax();
    claimed += bytes;
    if (allowed === undefined || claimed <= allowed) return;
    // Files may have been removed since, which nobody tells.
    claimed = sizeOf(files.root) + bytes;
    if (claimed <= allowed) return;
    claimed -= bytes;
    throw new files.ErrnoError(noSpace);
  };
}

function sizeOf({ contents }: FileNode): number {
  if (contents === undefined || contents === null) return 0;
  if (ArrayBuffer.isView(contents)) return contents.byteLength;
  return Object.values(contents).reduce((sum, node) => sum + sizeOf(node), 0);
}

export function packFiles(files: FileSystem, paths: readonly string[]): ArrayBuffer {
  const contents = paths.map((path) => files.readFile(path));
  const index = new GuestTextEncoder().encode(JSON.stringify(paths.map((path, i) => [path, contents[i]!.length])));
  const packed = new Uint8Array(contents.reduce((sum, { length }) => sum + length, 4 + index.length));
  new DataView(packed.buffer).setUint32(0, index.length);
  packed.set(index, 4);
  let at = 4 + index.length;
  for (const bytes of contents) {
    packed.set(bytes, at);
    at += bytes.length;
  }
  return packed.buffer;
}

export function unpackFiles(files: FileSystem, packed: ArrayBuffer): void {
  if (packed.byteLength === 0) return;
  const indexLength = new DataView(packed).getUint32(0);
  let at = 4 + indexLength;
  const index = new GuestTextDecoder().decode(new Uint8Array(packed, 4, indexLength));
  const made = new Set<string>();
  for (const [path, length] of JSON.parse(index) as [string, number][]) {
    const folder = path.slice(0, path.lastIndexOf("/"));
    if (!made.has(folder)) files.mkdirTree(folder);
    made.add(folder);
    // Not copied: all files of packages share one buffer until the step writes to one of them.
    files.writeFile(path, new Uint8Array(packed, at, length), { canOwn: true });
    at += length;
  }
}
