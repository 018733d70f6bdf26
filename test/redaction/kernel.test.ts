/** The compiled kernel is the one that kernel.wat describes, and finds what the tables say byte by byte. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Block } from "../../redaction/block.ts";
import { base64Digits, OTHER, RUN_MIN, textGroup, textPair } from "../../redaction/digits.ts";
import { mayBeginEscape } from "../../redaction/escape-leads.ts";
import { kernelBytes } from "../../redaction/kernel-bytes.ts";
import { SkipSearch } from "../../redaction/skip.ts";
import { LEAD, symbolTables } from "../../redaction/views.ts";
import { compiledKernel } from "../../scripts/kernel.ts";

const block = new Block();
const texts = fc.oneof(
  fc.uint8Array({ maxLength: 300 }),
  fc
    .array(
      fc.constantFrom(
        "[R",
        "[",
        "U+",
        "U\\",
        "U",
        "%41",
        "&amp;",
        "\u001b[0m",
        "\u200b",
        "\u00e9",
        "abc",
        "A".repeat(15),
        "-_+/=",
        "\n",
      ),
      { maxLength: 60 },
    )
    .map((parts) => Uint8Array.from(Buffer.from(parts.join("")))),
);
const params = { seed: 20_261_121, numRuns: 2000 };

test("kernel-bytes.ts is compiled from kernel.wat: `npm run kernel` brings it up to date", async () => {
  expect(kernelBytes.equals(await compiledKernel())).toBe(true);
});

test("a block tells where escapes may begin", () => {
  fc.assert(
    fc.property(texts, (text) => {
      block.load(new Uint8Array(0), text, 0, true);
      const leads: number[] = [];
      for (let at = block.nextLead(0); at < text.length; at = block.nextLead(at + 1)) leads.push(at);
      const expected = Array.from(text, (_, at) => at).filter(
        (at) => symbolTables.loose[text[at]!]! >= LEAD && mayBeginEscape(text, at, text.length),
      );
      expect(leads).toEqual(expected);
    }),
    params,
  );
});

test("a block tells where runs of digits begin", () => {
  fc.assert(
    fc.property(texts, (text) => {
      block.load(new Uint8Array(0), text, 0, true);
      const isRun = (at: number): boolean =>
        at + RUN_MIN <= text.length && text.subarray(at, at + RUN_MIN).every((byte) => base64Digits[byte] !== OTHER);
      for (let at = 0; at <= text.length; at++) {
        let expected = at;
        while (expected < text.length && !isRun(expected)) expected++;
        expect(block.nextRun(at)).toBe(expected);
        let end = at;
        if (isRun(at)) while (end < text.length && base64Digits[text[end]!] !== OTHER) end++;
        expect(block.runEnd(at)).toBe(end);
      }
    }),
    { ...params, numRuns: 300 },
  );
});

const digitTexts = fc.array(
  fc.oneof(
    fc.constantFrom("A", "f", "_", "\n", "=", "%", "zz", "ff", "7365", "c2VjcmV0"),
    fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes).toString("base64")),
    fc.string({ maxLength: 40 }).map((text) => Buffer.from(text).toString("base64url")),
    fc.string({ maxLength: 40 }).map((text) => Buffer.from(text).toString("hex")),
  ),
  { maxLength: 12 },
);

test("a block tells where digits stand for text, and decodes it", () => {
  fc.assert(
    fc.property(digitTexts, fc.nat(), (parts, anyFrom) => {
      const text = Buffer.from(parts.join(""));
      block.load(new Uint8Array(0), text, 0, true);
      const from = anyFrom % (text.length + 1);
      const isText = (bits: 4 | 6, at: number): boolean => (bits === 6 ? textGroup(text, at) : textPair(text, at)) >= 0;
      const found = ([6, 4] as const).map((bits) => {
        const [width, inRow] = bits === 6 ? [4, 3] : [2, 7];
        const isFound = (at: number): boolean =>
          at + width * inRow <= text.length &&
          Array.from({ length: inRow }, (_, i) => isText(bits, at + i * width)).every(Boolean);
        let expected = from;
        while (expected < text.length && !isFound(expected)) expected += width;
        expect(block.digits.next(bits, from, text.length)).toBe(Math.min(expected, text.length));
        // Whole vectors of sixteen digits only.
        let end = from;
        while (
          end + 16 <= text.length &&
          Array.from({ length: 16 / width }).every((_, i) => isText(bits, end + i * width))
        )
          end += 16;
        const digits = text.subarray(from, end).toString("latin1");
        expect(Buffer.from(block.digits.decoded(bits, from, text.length))).toEqual(
          Buffer.from(digits, bits === 6 ? "base64" : "hex"),
        );
        return Array.from(text, (_, at) => at).some((at) => at >= from && isFound(at));
      });
      expect(block.digits.mayHoldText(from, text.length)).toBe(found.some(Boolean));
    }),
    params,
  );
});

test.each(["loose", "dense", "strict"] as const)("the %s view leads from bytes to symbols and back", (kind) => {
  fc.assert(
    fc.property(texts, (text) => {
      block.load(new Uint8Array(0), text, 0, true);
      const symbols = Array.from(text, (byte, at) => ({ symbol: symbolTables[kind][byte]! & 255, at })).filter(
        ({ symbol }) => symbol !== 0,
      );
      const view = block.view(kind, new SkipSearch([Uint8Array.from(symbols, ({ symbol }) => symbol)]));
      expect(Array.from({ length: symbols.length }, (_, rank) => view.placeOf(rank, text.length))).toEqual(
        symbols.map(({ at }) => at),
      );
      for (let at = 0; at <= text.length; at++) {
        expect(view.rankOf(at)).toBe(symbols.filter((symbol) => symbol.at < at).length);
      }
      // The whole text is the needle, so it begins at the first symbol.
      const first = view.next(0, text.length);
      expect(first < 0 ? -1 - first : first).toBe(symbols[0]?.at ?? text.length);
    }),
    { ...params, numRuns: 300 },
  );
});

test("a block that is loaded again forgets what was in it", () => {
  block.load(new Uint8Array(0), Buffer.from("%41".repeat(40) + "A".repeat(40) + "\u008b"), 0, false);
  block.load(Buffer.from("ab"), Buffer.from("cd"), 100, true);
  expect({ lead: block.nextLead(0), run: block.nextRun(0), gzip: block.has8b }).toEqual({
    lead: 4,
    run: 4,
    gzip: false,
  });
  expect({ base: block.base, fresh: block.fresh, length: block.length }).toEqual({ base: 98, fresh: 2, length: 4 });
});
