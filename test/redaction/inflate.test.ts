/** The inflater gives what node:zlib deflated, says of which input, and never makes more output than it may. */
import { deflateRawSync, deflateSync, gzipSync } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { InflateCredit, Inflater, type Wrapper } from "../../redaction/inflate.ts";

const deflate: Record<Wrapper, (bytes: Uint8Array) => Buffer> = {
  gzip: gzipSync,
  zlib: deflateSync,
  raw: deflateRawSync,
};

function inflated(wrapper: Wrapper, data: Uint8Array, depth = 0): Buffer {
  const inflater = new Inflater(wrapper, depth);
  const out: Uint8Array[] = [];
  for (const byte of data) {
    inflater.write(byte);
    out.push(inflater.take().slice());
  }
  return Buffer.concat(out);
}

test.each(["gzip", "zlib", "raw"] as const)("inflates %s data of any kind", (wrapper) => {
  const text = fc.array(fc.constantFrom("key=", "value", "\n", "0123456789", "{}"), { maxLength: 40 });
  fc.assert(
    fc.property(
      fc.oneof(
        text.map((parts) => Buffer.from(parts.join(""))),
        fc.uint8Array({ maxLength: 200 }),
      ),
      (bytes) => {
        expect(inflated(wrapper, deflate[wrapper](bytes))).toEqual(Buffer.from(bytes));
      },
    ),
    { seed: 20_261_121, numRuns: 300 },
  );
});

test.each([
  ["gzip", 0, 4096, 32],
  ["zlib", 0, 4096, 32],
  ["raw", 0, 256, 16],
  ["gzip", 1, 1024, 8],
  ["gzip", 2, 256, 2],
] as const)(
  "a bomb of %s data at depth %i ends after %i bytes and %i for each of its own",
  (wrapper, depth, free, each) => {
    const data = deflate[wrapper](Buffer.alloc(200_000));
    const out = inflated(wrapper, data, depth);
    expect(out.length).toBeLessThanOrEqual(free + each * data.length);
    expect(out.length).toBeGreaterThanOrEqual(free);
  },
);

test("data without a header gives at most 8 KiB", () => {
  const data = deflateRawSync(Buffer.from(Array.from({ length: 60_000 }, (_, i) => (i * 7919) % 251)));
  expect(inflated("raw", data).length).toBeLessThanOrEqual(8192);
});

test("many small pieces in one place of a text put out no more than one large one may", () => {
  const epoch = { count: 1 };
  const credit = new InflateCredit(0, epoch);
  const piece = gzipSync(Buffer.alloc(4_000, 97));
  const outputOf = (count: number): number => {
    let bytes = 0;
    for (let i = 0; i < count; i++) {
      const inflater = new Inflater("gzip", 0, credit);
      for (const byte of piece) {
        inflater.write(byte);
        bytes += inflater.take().length;
      }
    }
    return bytes;
  };
  expect(outputOf(5)).toBe(20_000);
  expect(outputOf(5_000)).toBeLessThanOrEqual((1 << 20) + 4 * 5_000 * piece.length);
  // Another text begins anew.
  epoch.count++;
  expect(outputOf(5)).toBe(20_000);
});
