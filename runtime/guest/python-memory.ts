/**
 * The interpreter's memory: its cap, and the pages from which it is restored. A snapshot holds only the pages that are not
 * zero, since a fresh memory is zero as it is. Runs inside the isolate.
 */

const wasmPageBytes = 65_536;
const pageBytes = 4_096;

/** The wasm memory is outside isolated-vm's limit, so growth is refused here; Python turns that into MemoryError. */
export function capWasmMemory(): { bytesMax: number } {
  const cap = { bytesMax: 1024 * 1024 * 1024 };
  const prototype = WebAssembly.Memory.prototype;
  const grow = prototype.grow;
  const apply = Reflect.apply;
  prototype.grow = function growWithinCap(this: WebAssembly.Memory, pages: number): number {
    if (this.buffer.byteLength + pages * wasmPageBytes > cap.bytesMax)
      throw new RangeError("the memory limit is reached");
    return apply(grow, this, [pages]);
  };
  return cap;
}

/** Which pages of a memory are in `pages`: JSON, the memory's size, then how many to leave out and take, by turns. */
export interface MemoryPages {
  readonly runs: string;
  readonly pages: ArrayBuffer;
}

/** What Pyodide's loader hands over of the memory it has set up. */
export interface LoadedMemory {
  grow(bytes: number): void;
  view(): Uint8Array;
  /** Up to here something may have been written already. */
  readonly usedBytes: number;
}

export function writePages({ grow, view, usedBytes }: LoadedMemory, { runs, pages }: MemoryPages): void {
  const [bytes = 0, ...counts] = JSON.parse(runs) as number[];
  if (bytes > view().length) grow(bytes);
  const target = view();
  let [from, to] = [0, 0];
  for (const [i, count] of counts.entries()) {
    const length = count * pageBytes;
    if (i % 2 === 1) {
      target.set(new Uint8Array(pages, from, length), to);
      from += length;
    } else if (to < usedBytes) {
      target.fill(0, to, Math.min(to + length, usedBytes));
    }
    to += length;
  }
}

export function takePages(bytes: Uint8Array): MemoryPages {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const wordsPerPage = pageBytes / 4;
  const counts = [0];
  const taken: Uint8Array[] = [];
  for (let page = 0; page < bytes.length / pageBytes; page++) {
    const isZero = words.subarray(page * wordsPerPage, (page + 1) * wordsPerPage).every((word) => word === 0);
    if (isZero === (counts.length % 2 === 0)) counts.push(0);
    counts[counts.length - 1]! += 1;
    if (!isZero) taken.push(bytes.subarray(page * pageBytes, (page + 1) * pageBytes));
  }
  const pages = new Uint8Array(taken.length * pageBytes);
  for (const [i, page] of taken.entries()) pages.set(page, i * pageBytes);
  return { runs: JSON.stringify([bytes.length, ...counts]), pages: pages.buffer };
}
