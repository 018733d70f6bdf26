/** Frames survive any cut of the stream, and an oversized one is refused before it is read. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeFrame, frameBytesMax, FrameDecoder } from "../../runtime/bridge/frame.ts";

describe("FrameDecoder", () => {
  test("gives the same messages however the bytes are cut", () => {
    fc.assert(
      fc.property(fc.array(fc.json(), { maxLength: 6 }), fc.array(fc.nat(200), { maxLength: 30 }), (texts, sizes) => {
        const messages = texts.map((text) => JSON.parse(text) as unknown);
        const bytes = Buffer.concat(messages.map(encodeFrame));
        const decoder = new FrameDecoder();
        const decoded: unknown[] = [];
        let at = 0;
        for (const size of [...sizes, bytes.length]) {
          decoded.push(...decoder.push(bytes.subarray(at, at + size)));
          at += size;
        }
        expect(decoded).toEqual(messages);
      }),
    );
  });
  test("refuses a length above the bound as soon as it is read", () => {
    const head = Buffer.alloc(4);
    head.writeUInt32BE(frameBytesMax + 1);
    expect(() => new FrameDecoder().push(head)).toThrow(RangeError);
  });
  test("refuses text that is not JSON", () => {
    expect(() => new FrameDecoder().push(Buffer.from([0, 0, 0, 1, 0x7b]))).toThrow(SyntaxError);
  });
});
