/**
 * Frames between the worker and a sandbox host: a 4-byte big-endian length, then that many bytes of UTF-8 JSON. Both
 * sides refuse a frame above the bound before they allocate for it. Knows nothing of what the messages mean.
 */

/** Largest frame either side accepts, bytes: above the largest request body, in base64, that a limit can allow. */
export const frameBytesMax = 128 * 1024 * 1024;

export function encodeFrame(message: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(message), "utf8");
  if (body.length > frameBytesMax) throw new RangeError(`frame of ${body.length} bytes`);
  const frame = Buffer.allocUnsafe(4 + body.length);
  frame.writeUInt32BE(body.length, 0);
  body.copy(frame, 4);
  return frame;
}

/** Puts a byte stream, cut anywhere, back into messages. Throws on an oversized frame or on text that is not JSON. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #bytes = 0;
  #need = 4;
  #bodyLength: number | undefined;

  /** The messages that this chunk completes, in order. */
  push(chunk: Buffer): unknown[] {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    const messages: unknown[] = [];
    while (this.#bytes >= this.#need) {
      const taken = this.#take(this.#need);
      if (this.#bodyLength === undefined) {
        const length = taken.readUInt32BE(0);
        if (length > frameBytesMax) throw new RangeError(`frame of ${length} bytes`);
        this.#bodyLength = length;
        this.#need = length;
      } else {
        this.#bodyLength = undefined;
        this.#need = 4;
        messages.push(JSON.parse(taken.toString("utf8")));
      }
    }
    return messages;
  }

  #take(length: number): Buffer {
    // Joined only when a frame is whole, so that a large frame arriving in small chunks costs one copy.
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    const rest = all.subarray(length);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#bytes = rest.length;
    return all.subarray(0, length);
  }
}
