/**
 * `crypto`: random values, and `crypto.subtle` over the bridge. The host computes with Node's own Web Crypto while the
 * isolate's thread waits, so one operation is under way at a time and none can pile up; the host keeps nothing between
 * two calls, a key's material travels with each. Runs inside the isolate.
 */
import { jsonParse, jsonStringify, sendAndWait } from "./bridge.ts";
import { decodeBase64, encodeBase64, GuestTextEncoder, toBytes } from "./encoding.ts";
import { GuestDOMException } from "./exception.ts";
import { exposeGlobal } from "./globals.ts";
import { typedArrayName } from "./kind.ts";

/** A key as the host imports it anew for each call; `data` is base64, or the JSON text of a JWK. */
interface Material {
  readonly format: string;
  readonly data: string;
  readonly algorithm: unknown;
  readonly usages: readonly string[];
}

interface Answer {
  error?: { name: string; message: string };
  data?: string;
  verified?: boolean;
  keys?: { type: string; algorithm: object; usages: string[]; extractable: boolean; material: Material }[];
}

const passKey = Symbol("key");
let materialOf: (key: GuestCryptoKey) => Material;

class GuestCryptoKey {
  readonly type: string;
  readonly extractable: boolean;
  readonly algorithm: object;
  readonly usages: readonly string[];
  readonly #material: Material;

  constructor(pass: symbol, key: NonNullable<Answer["keys"]>[number]) {
    if (pass !== passKey) throw new TypeError("Illegal constructor");
    this.type = key.type;
    this.extractable = key.extractable;
    const { publicExponent } = key.algorithm as { publicExponent?: number[] };
    this.algorithm =
      publicExponent === undefined
        ? key.algorithm
        : { ...key.algorithm, publicExponent: Uint8Array.from(publicExponent) };
    this.usages = key.usages;
    this.#material = key.material;
  }
  static {
    materialOf = (key) => key.#material;
  }
}

function isBytes(value: unknown): value is ArrayBuffer | ArrayBufferView {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer;
}

function bytesText(value: unknown): string {
  if (!isBytes(value)) throw new TypeError("The data must be an ArrayBuffer or a view of one");
  return encodeBase64(toBytes(value));
}

/** An algorithm as plain data: bytes become base64, keys their material. */
function encodeAlgorithm(algorithm: unknown): Record<string, unknown> {
  if (typeof algorithm === "string") return { name: algorithm };
  if (typeof algorithm !== "object" || algorithm === null)
    throw new TypeError("The algorithm must be a name or an object");
  const encoded: Record<string, unknown> = {};
  for (const key of Object.keys(algorithm)) {
    const value = (algorithm as Record<string, unknown>)[key];
    if (key === "hash") encoded[key] = encodeAlgorithm(value)["name"];
    else if (key === "public") encoded[key] = materialOf(value as GuestCryptoKey);
    else if (isBytes(value)) encoded[key] = bytesText(value);
    else if (value !== undefined) encoded[key] = value;
  }
  return encoded;
}

function ask(operation: string, question: object): Answer {
  const answer = sendAndWait({ type: "crypto", operation, ...question }) as Answer;
  if (answer.error === undefined) return answer;
  const { name, message } = answer.error;
  throw name === "TypeError" ? new TypeError(message) : new GuestDOMException(message, name);
}

const toBuffer = (data: string | undefined): ArrayBuffer => decodeBase64(data ?? "")!.buffer as ArrayBuffer;

/** Asks with a key of the step's; the host refuses what the key's usages do not allow. */
function askWithKey(operation: string, algorithm: unknown, key: GuestCryptoKey, more: object = {}): Answer {
  return ask(operation, { algorithm: encodeAlgorithm(algorithm), key: materialOf(key), ...more });
}

function makeKeys(answer: Answer): GuestCryptoKey[] {
  return (answer.keys ?? []).map((key) => new GuestCryptoKey(passKey, key));
}

interface ImportedKey {
  format: string;
  data: unknown;
  algorithm: unknown;
  extractable: unknown;
  usages: unknown;
}

function importKey({ format, data, algorithm, extractable, usages }: ImportedKey): GuestCryptoKey {
  const answer = ask("importKey", {
    algorithm: encodeAlgorithm(algorithm),
    key: {
      format,
      data: format === "jwk" ? jsonStringify(data) : bytesText(data),
      algorithm: encodeAlgorithm(algorithm),
      usages: [...(usages as Iterable<string>)],
    },
    extractable: Boolean(extractable),
  });
  return makeKeys(answer)[0]!;
}

function exportKey(format: string, key: GuestCryptoKey): unknown {
  if (!key.extractable) throw new GuestDOMException("The key is not extractable", "InvalidAccessError");
  const { data = "" } = ask("exportKey", { format, algorithm: { name: "" }, key: materialOf(key) });
  return format === "jwk" ? { ...(jsonParse(data) as object), key_ops: [...key.usages], ext: true } : toBuffer(data);
}

function createSubtle(): object {
  return {
    async digest(algorithm: unknown, data: unknown) {
      return toBuffer(ask("digest", { algorithm: encodeAlgorithm(algorithm), data: bytesText(data) }).data);
    },
    async sign(algorithm: unknown, key: GuestCryptoKey, data: unknown) {
      return toBuffer(askWithKey("sign", algorithm, key, { data: bytesText(data) }).data);
    },
    async verify(algorithm: unknown, key: GuestCryptoKey, ...[signature, data]: unknown[]) {
      const more = { signature: bytesText(signature), data: bytesText(data) };
      return askWithKey("verify", algorithm, key, more).verified === true;
    },
    async encrypt(algorithm: unknown, key: GuestCryptoKey, data: unknown) {
      return toBuffer(askWithKey("encrypt", algorithm, key, { data: bytesText(data) }).data);
    },
    async decrypt(algorithm: unknown, key: GuestCryptoKey, data: unknown) {
      return toBuffer(askWithKey("decrypt", algorithm, key, { data: bytesText(data) }).data);
    },
    async deriveBits(algorithm: unknown, key: GuestCryptoKey, length: unknown) {
      return toBuffer(askWithKey("deriveBits", algorithm, key, { length: Number(length) }).data);
    },
    async deriveKey(algorithm: unknown, key: GuestCryptoKey, ...[derived, extractable, usages]: unknown[]) {
      const length = keyBits(encodeAlgorithm(derived));
      const data = askWithKey("deriveBits", algorithm, key, { length, forKey: true }).data;
      return importKey({ format: "raw", data: toBuffer(data), algorithm: derived, extractable, usages });
    },
    async importKey(format: string, data: unknown, ...[algorithm, extractable, usages]: unknown[]) {
      return importKey({ format, data, algorithm, extractable, usages });
    },
    async exportKey(format: string, key: GuestCryptoKey) {
      return exportKey(format, key);
    },
    async generateKey(algorithm: unknown, extractable: unknown, usages: Iterable<string>) {
      const keys = makeKeys(
        ask("generateKey", {
          algorithm: encodeAlgorithm(algorithm),
          extractable: Boolean(extractable),
          usages: [...usages],
        }),
      );
      return keys.length === 1 ? keys[0] : { publicKey: keys[0], privateKey: keys[1] };
    },
  };
}

const blockBits: Readonly<Record<string, number>> = { "SHA-1": 512, "SHA-256": 512, "SHA-384": 1024, "SHA-512": 1024 };

/** How long a derived key is: what its algorithm says, for HMAC else the block of its hash. */
function keyBits({ name, length, hash }: Record<string, unknown>): number {
  if (typeof length === "number") return length;
  const bits = String(name).toUpperCase() === "HMAC" ? blockBits[String(hash).toUpperCase()] : undefined;
  if (bits === undefined) throw new TypeError("The derived key's algorithm must say its length");
  return bits;
}

const integerArrays = /^(Int|Uint|BigInt|BigUint)(8|16|32|64)(Clamped)?Array$/;

/** SHA-256 in hexadecimal digits. */
export function sha256(bytes: Uint8Array): string {
  const { data = "" } = ask("digest", { algorithm: { name: "SHA-256" }, data: encodeBase64(bytes) });
  const digest = decodeBase64(data) ?? new Uint8Array(0);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function installCrypto(): void {
  const random = (length: number): number[] => (sendAndWait({ type: "random", length }) as { bytes: number[] }).bytes;
  class GuestSubtleCrypto {}
  class GuestCrypto {
    readonly subtle = Object.assign(new GuestSubtleCrypto(), createSubtle());

    getRandomValues<Target extends Uint8Array>(target: Target): Target {
      const type = typeof target === "object" && target !== null ? typedArrayName(target) : undefined;
      if (type === undefined || !integerArrays.test(type)) {
        throw new GuestDOMException("getRandomValues takes an array of integers", "TypeMismatchError");
      }
      const bytes = toBytes(target);
      if (bytes.length > 65_536) {
        throw new GuestDOMException(
          `Cannot give ${bytes.length} random bytes: at most 65536 at once`,
          "QuotaExceededError",
        );
      }
      bytes.set(random(bytes.length === 0 ? 1 : bytes.length).slice(0, bytes.length));
      return target;
    }
    randomUUID(): string {
      return (sendAndWait({ type: "random", length: 0 }) as { uuid: string }).uuid;
    }
  }
  exposeGlobal("CryptoKey", GuestCryptoKey);
  exposeGlobal("crypto", new GuestCrypto());
}

/** A text that no content can hold by chance, for the borders of a multipart body. */
export function randomText(): string {
  return (sendAndWait({ type: "random", length: 0 }) as { uuid: string }).uuid.replaceAll("-", "");
}

export const encodeUtf8 = (text: string): Uint8Array<ArrayBuffer> =>
  new GuestTextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
