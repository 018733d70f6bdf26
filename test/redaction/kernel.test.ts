/** The compiled kernel is the one that kernel.wat describes, and finds what the tables say byte by byte. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Block } from "../../redaction/block.ts";
import { base64Digits, OTHER, RUN_MIN } from "../../redaction/digits.ts";
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
