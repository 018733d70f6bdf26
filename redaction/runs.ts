/**
 * Looks into long runs of base64 and hexadecimal digits, and into compressed data within them or in the open.
 *
 * Of each run every alignment is decoded; a stretch that decodes to text is scanned like any text, so that a value
 * encoded twice is found. Runs that begin like compressed data are inflated. Nothing is collected: a byte is held only
 * while what it decodes to could become a match. A run without text in it costs a few table look-ups per character.
 */

import { Chain, type OnDecoded } from "./chain.ts";
import type { Epoch } from "./inflate.ts";
import { Compressed, InflatedText, RunHead } from "./compressed.ts";
import { HEAD_BYTES, wrapperOf } from "./compression.ts";
import type { Block } from "./block.ts";
import { base64Digits, hexDigits, OTHER, RUN_MIN } from "./digits.ts";
import type { Wrapper } from "./inflate.ts";
import type { Scanner } from "./scanner.ts";

/** A line this long may go on on the next one. */
const WRAP_MIN = 60;
/** The brackets of a placeholder. */
const OPEN = 0x5b;
const CLOSE = 0x5d;
/** One for each place in a group at which decoding may begin. */
const BASE64_CHAINS = 4;

/** All that looks into runs, for one scanner. */
export class RunLane {
  readonly #chains: Chain[] = [];
  readonly #heads: readonly [RunHead, RunHead];
  readonly #inflatedBinary: InflatedText;
  #inRun = false;
  /** Digits of the run read so far, and those of its last line. */
  #count = 0;
  #line = 0;
  #wrapped = false;
  #binary: Compressed | undefined;
  #before = 0;

  constructor(depth: number, epoch: Epoch, openScanner: () => Scanner, onDecoded: OnDecoded) {
    for (let skip = 0; skip < BASE64_CHAINS; skip++) {
      this.#chains.push(new Chain("base64", skip, openScanner, onDecoded));
    }
    for (let skip = 0; skip < 2; skip++) {
      this.#chains.push(new Chain("hex", skip, openScanner, onDecoded));
    }
    this.#inflatedBinary = new InflatedText(depth, epoch, openScanner, onDecoded);
    this.#heads = [
      new RunHead(6, base64Digits, new InflatedText(depth, epoch, openScanner, onDecoded)),
      new RunHead(4, hexDigits, new InflatedText(depth, epoch, openScanner, onDecoded)),
    ];
  }

  restart(isBehindMask: boolean): void {
    this.#endRun(false);
    this.#binary = undefined;
    this.#before = isBehindMask ? CLOSE : 0;
  }

  /** From where on bytes could still become a match, or Infinity. */
  get liveFrom(): number {
    let from = this.#binary?.liveFrom ?? Infinity;
    if (!this.#inRun) return from;
    for (const chain of this.#chains) from = Math.min(from, chain.liveFrom);
    for (const head of this.#heads) from = Math.min(from, head.liveFrom);
    return from;
  }

  /** Reads what is fresh in a block. */
  read(block: Block, isBeforeMask: boolean): void {
    const { text: bytes, base, fresh, length: to } = block;
    if (this.#binary !== undefined || block.has8b) this.#readBinary(bytes, fresh, to, base);
    let i = fresh;
    while (i < to) {
      if (this.#inRun) {
        i = this.#stretch(block, i);
        continue;
      }
      // A run shorter than RUN_MIN has no effect, unless it goes on in the next block.
      let start = block.nextRun(i);
      if (start === to) while (start > i && base64Digits[bytes[start - 1]!] !== OTHER) start--;
      if (start === to) break;
      const end = digitsEnd(block, start);
      this.#inRun = end === to || this.#isWorthReading(block, start, end);
      // Behind a mask no data begins: what the mask stands for may have gone on here.
      const before = start === fresh ? this.#before : bytes[start - 1];
      if (this.#inRun) this.#begin(bytes, start, to, before === CLOSE);
      i = this.#inRun ? start : end;
    }
    if (to > fresh) this.#before = bytes[to - 1]!;
    if (block.last || isBeforeMask) {
      this.#endRun(isBeforeMask);
      this.#binary?.end(isBeforeMask);
      this.#binary = undefined;
    }
  }

  /** Leaves a run alone that does not begin like compressed data, when its first digits can be seen. */
  #begin(bytes: Uint8Array, start: number, to: number, isBehindMask: boolean): void {
    for (const chain of this.#chains) chain.begin(isBehindMask);
    const isSeen = start + HEAD_BYTES * 2 <= to;
    if (isBehindMask || (isSeen && wrapperOfRun(bytes, start, 6, base64Digits) === undefined)) this.#heads[0].skip();
    if (isBehindMask || (isSeen && wrapperOfRun(bytes, start, 4, hexDigits) === undefined)) this.#heads[1].skip();
  }

  /** A quick look at a run that lies in these bytes as a whole. */
  #isWorthReading({ text: bytes, digits }: Block, from: number, to: number): boolean {
    const length = to - from;
    if (length < RUN_MIN) return false;
    if (length >= WRAP_MIN || digits.mayHoldText(from, to)) return true;
    if (wrapperOfRun(bytes, from, 6, base64Digits) !== undefined) return true;
    return length >= HEAD_BYTES * 2 && wrapperOfRun(bytes, from, 4, hexDigits) !== undefined;
  }

  /** Reads on in a run: digits as far as they go, or what stands between lines of them. */
  #stretch(block: Block, from: number): number {
    const { text: bytes, base, length } = block;
    const to = digitsEnd(block, from);
    if (to > from) {
      if (this.#wrapped) this.#nextLine();
      this.#line = (this.#wrapped ? 0 : this.#line) + to - from;
      this.#wrapped = false;
      const ends = to < length && !(this.#line >= WRAP_MIN && isLineEnd(bytes[to]!));
      for (const chain of this.#chains) chain.digits(block, from, to, this.#count, ends);
      for (const head of this.#heads) head.digits(bytes, from, to, base);
      this.#count += to - from;
      return to;
    }
    if (isLineEnd(bytes[from]!) && (this.#wrapped || this.#line >= WRAP_MIN)) this.#wrapped = true;
    else this.#endRun(bytes[from] === OPEN);
    return from + 1;
  }

  #nextLine(): void {
    for (const chain of this.#chains) chain.nextLine();
    for (const head of this.#heads) head.nextLine();
  }

  #endRun(isBeforeMask: boolean): void {
    this.#inRun = false;
    this.#count = 0;
    this.#line = 0;
    this.#wrapped = false;
    for (const chain of this.#chains) chain.end(isBeforeMask);
    for (const head of this.#heads) head.end(isBeforeMask);
  }

  /** Compressed data as such, not written in digits. */
  #readBinary(bytes: Uint8Array, from: number, to: number, base: number): void {
    for (let i = from; i < to; i++) {
      if (this.#binary === undefined) {
        const at = bytes.indexOf(0x8b, i);
        if (at === -1 || at >= to) break;
        const before = at === from ? this.#before : bytes[at - 1];
        i = at;
        if (before !== 0x1f) continue;
        this.#binary = new Compressed("gzip", this.#inflatedBinary);
        this.#binary.write(0x1f, base + at - 1, base + at);
      }
      this.#binary.write(bytes[i]!, base + i, base + i + 1);
      if (this.#binary.done) this.#binary = undefined;
    }
  }
}

/** Where the digits end that begin here. */
function digitsEnd(block: Block, from: number): number {
  const { text, length } = block;
  let end = block.runEnd(from);
  while (end < length && base64Digits[text[end]!] !== OTHER) end++;
  return end;
}

const isLineEnd = (code: number): boolean => code === 10 || code === 13;

const head = new Uint8Array(HEAD_BYTES);

/** How a run may be compressed, by its first digits. */
function wrapperOfRun(bytes: Uint8Array, from: number, bitsPerDigit: number, table: Uint8Array): Wrapper | undefined {
  let bits = 0;
  let bitCount = 0;
  let count = 0;
  for (let i = from; count < HEAD_BYTES; i++) {
    const digit = table[bytes[i]!]!;
    if (digit === OTHER) return undefined;
    bits = ((bits << bitsPerDigit) | digit) & 0xffff;
    bitCount += bitsPerDigit;
    if (bitCount < 8) continue;
    bitCount -= 8;
    head[count++] = (bits >> bitCount) & 255;
  }
  return wrapperOf(head);
}
