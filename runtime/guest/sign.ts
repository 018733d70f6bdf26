/**
 * `secrets.sign`: has the egress broker sign with a key, since a sealed one never comes here. Data becomes base64, and a
 * request's body the SHA-256 that is signed in its place. Runs inside the isolate.
 */
import { onHostEvent, send } from "./bridge.ts";
import { encodeUtf8, sha256 } from "./crypto.ts";
import { encodeBase64, toBytes } from "./encoding.ts";
import { callSite } from "./error.ts";
import { exposeGlobal } from "./globals.ts";
import { GuestHeaders } from "./headers.ts";

interface SignedEvent {
  id: number;
  answer?: { signature?: string; token?: string; headers?: [string, string][] };
  error?: { code: string; message: string };
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  readonly site: string[];
}

const bytesOf = (data: unknown): Uint8Array =>
  typeof data === "string" ? encodeUtf8(data) : toBytes(data as ArrayBuffer | ArrayBufferView);

/** Options as the broker takes them. */
function encodeOptions(options: unknown): Record<string, unknown> {
  if (typeof options !== "object" || options === null) throw new TypeError("The options of sign must be an object");
  const { data, body, headers, url, date, ...encoded } = options as Record<string, unknown>;
  if (data !== undefined) encoded["data"] = encodeBase64(bytesOf(data));
  if (headers !== undefined) encoded["headers"] = [...new GuestHeaders(headers)];
  if (url !== undefined) encoded["url"] = String(url);
  if (date !== undefined) encoded["date"] = date instanceof Date ? date.toISOString() : date;
  if (encoded["algorithm"] === "aws-sigv4") encoded["bodyHash"] ??= sha256(bytesOf(body ?? ""));
  return encoded;
}

export function installSign(): void {
  const pending = new Map<number, Pending>();
  let lastId = 0;

  onHostEvent("signed", ({ id, answer, error }: SignedEvent) => {
    const waiting = pending.get(id);
    pending.delete(id);
    if (answer !== undefined) {
      waiting?.resolve(answer.signature ?? answer.token ?? Object.fromEntries(answer.headers ?? []));
      return;
    }
    const failure = new Error(error?.message ?? "Cannot sign");
    failure.stack = [`Error: ${failure.message}`, ...(waiting?.site ?? [])].join("\n");
    Object.defineProperty(failure, "code", { value: error?.code, enumerable: true });
    waiting?.reject(failure);
  });

  const start = async (key: unknown, options: unknown, site: string[]): Promise<unknown> => {
    if (typeof key !== "string") throw new TypeError("The key of sign must be a secret, as <<secrets.name>>");
    const encoded = encodeOptions(options);
    const id = ++lastId;
    return await new Promise((resolve, reject) => {
      pending.set(id, { resolve, reject, site });
      send({ type: "sign", id, key, options: encoded });
    });
  };

  // Not itself async: its constructor would be another way to make code.
  const sign = (key: unknown, options: unknown): Promise<unknown> => start(key, options, callSite());
  exposeGlobal("secrets", Object.freeze({ __proto__: null, sign }));
}
