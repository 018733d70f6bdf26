/** Searching the memory of another process, as a debugger would: for values that must not be in it. Linux only. */
import { closeSync, openSync, readFileSync, readSync } from "node:fs";

const readBytesMax = 4 * 1024 * 1024;

/** A value as it might lie in memory: plain and in common encodings, and pieces of each that would give it away. */
export function needlesOf(value: string): Buffer[] {
  const base64 = [0, 1, 2].map((pad) => {
    const text = Buffer.from("\0".repeat(pad) + value).toString("base64");
    // Without the characters that the bytes around the value have a part in.
    return text.slice(pad === 0 ? 0 : 4, -4);
  });
  const hex = Buffer.from(value).toString("hex");
  const reversed = Array.from(value).reverse().join("");
  const texts = [value, reversed, ...base64, hex, hex.toUpperCase(), value.toUpperCase(), value.toLowerCase()];
  const pieces = texts.flatMap((text) => [text.slice(0, 14), text.slice(-14)]);
  return [
    ...pieces.map((text) => Buffer.from(text)),
    ...pieces.slice(0, 4).map((text) => Buffer.from(text, "utf16le")),
  ];
}

/** Which of the needles lie somewhere in what a process can write to: heaps, stacks, buffers, WebAssembly memory. */
export function searchMemory(pid: number, needles: readonly Buffer[]): { found: string[]; bytes: number } {
  const overlap = Math.max(...needles.map(({ length }) => length)) - 1;
  const memory = openSync(`/proc/${pid}/mem`, "r");
  const found = new Set<string>();
  let bytes = 0;
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, "utf8").split("\n")) {
      const [, from, to, rights] = /^([0-9a-f]+)-([0-9a-f]+) (\S{4})/.exec(line) ?? [];
      if (from === undefined || to === undefined || !rights?.startsWith("rw")) continue;
      const end = BigInt(`0x${to}`);
      for (let at = BigInt(`0x${from}`); at < end; at += BigInt(readBytesMax)) {
        const length = Math.min(Number(end - at), readBytesMax + overlap);
        const chunk = readAt(memory, at, length);
        bytes += Math.min(chunk.length, readBytesMax);
        for (const needle of needles) if (chunk.includes(needle)) found.add(needle.toString("latin1"));
      }
    }
  } finally {
    closeSync(memory);
  }
  return { found: [...found], bytes };
}

function readAt(file: number, position: bigint, length: number): Buffer {
  const chunk = Buffer.allocUnsafe(length);
  try {
    return chunk.subarray(0, readSync(file, chunk, 0, length, position as never));
  } catch {
    // Reserved and never used, or gone meanwhile.
    return chunk.subarray(0, 0);
  }
}
