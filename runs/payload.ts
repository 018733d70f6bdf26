/**
 * Payloads and return values of jobs as BullMQ's PostgreSQL backend can keep them: its jsonb holds neither NUL nor lone
 * surrogates, and a step may be given and may return both. Such a payload travels as base64, on both backends alike.
 */

/** How a payload looks when JSON in PostgreSQL could not hold it. */
interface EncodedPayload {
  readonly encoding: "base64-json";
  readonly text: string;
}

export function encodePayload(payload: object): object {
  const json = JSON.stringify(payload);
  // JSON.stringify writes both as escapes, and an escaped backslash before them is an even number of backslashes.
  if (!/(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/i.test(json)) return payload;
  return { encoding: "base64-json", text: Buffer.from(json).toString("base64") } satisfies EncodedPayload;
}

export function decodePayload(payload: unknown): unknown {
  const { encoding, text } = (payload ?? {}) as Partial<EncodedPayload>;
  if (encoding !== "base64-json" || typeof text !== "string") return payload;
  try {
    return JSON.parse(Buffer.from(text, "base64").toString("utf8")) as unknown;
  } catch {
    return payload; // Not one of ours; the schema refuses it.
  }
}
