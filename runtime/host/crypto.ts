/**
 * `crypto.subtle` of the guest, computed by Node's Web Crypto in the sandbox host: the host is what a step may exhaust,
 * the worker is not. It runs on Node's thread pool, so that the host stays awake, and keeps no key between two calls.
 * Time that it takes counts as the run's, since the watchdog counts the whole process. Knows nothing of the isolate.
 */
import { webcrypto } from "node:crypto";
import {
  type CryptoAlgorithm,
  type CryptoAnswer,
  type CryptoMessage,
  cryptoMessageSchema,
  type KeyMaterial,
  modulusBitsMax,
} from "../bridge/crypto.ts";

const { subtle } = webcrypto;
type Subtle = typeof subtle;
type Key = Awaited<ReturnType<Subtle["importKey"]>>;

const allowed: Readonly<Record<string, readonly CryptoMessage["operation"][]>> = {
  "SHA-1": ["digest"],
  "SHA-256": ["digest"],
  "SHA-384": ["digest"],
  "SHA-512": ["digest"],
  HMAC: ["sign", "verify", "importKey", "generateKey"],
  "AES-GCM": ["encrypt", "decrypt", "importKey", "generateKey"],
  "AES-CBC": ["encrypt", "decrypt", "importKey", "generateKey"],
  "AES-CTR": ["encrypt", "decrypt", "importKey", "generateKey"],
  "RSA-OAEP": ["encrypt", "decrypt", "importKey", "generateKey"],
  "RSASSA-PKCS1-v1_5": ["sign", "verify", "importKey", "generateKey"],
  "RSA-PSS": ["sign", "verify", "importKey", "generateKey"],
  ECDSA: ["sign", "verify", "importKey", "generateKey"],
  Ed25519: ["sign", "verify", "importKey", "generateKey"],
  ECDH: ["deriveBits", "importKey", "generateKey"],
  X25519: ["deriveBits", "importKey", "generateKey"],
  PBKDF2: ["deriveBits", "importKey"],
  HKDF: ["deriveBits", "importKey"],
};
const names = new Map(Object.keys(allowed).map((name) => [name.toLowerCase(), name]));

/** Computes one call. Never throws: what fails is an answer with an error. */
export async function answerCrypto(question: unknown): Promise<CryptoAnswer> {
  const read = cryptoMessageSchema.safeParse(question);
  if (!read.success) {
    const places = read.error.issues.slice(0, 3).map(({ path }) => path.join("."));
    return {
      error: { name: "NotSupportedError", message: `Not supported, or beyond its bound: ${places.join(", ")}` },
    };
  }
  try {
    return await compute(read.data);
  } catch (error) {
    const name =
      error instanceof TypeError ? "TypeError" : error instanceof DOMException ? error.name : "OperationError";
    const text = error instanceof DOMException || error instanceof TypeError ? error.message : "";
    return { error: { name, message: text === "" ? `The operation "${read.data.operation}" failed` : text } };
  }
}

async function compute(message: CryptoMessage): Promise<CryptoAnswer> {
  if (message.operation === "exportKey") return await exportKey(message.key, message.format);
  const algorithm = await readAlgorithm(message.algorithm, message.operation);
  switch (message.operation) {
    case "digest":
      return { data: toText(await subtle.digest(algorithm, toBytes(message.data))) };
    case "sign":
      return { data: toText(await subtle.sign(algorithm, await importMaterial(message.key), toBytes(message.data))) };
    case "verify": {
      const key = await importMaterial(message.key);
      return { verified: await subtle.verify(algorithm, key, toBytes(message.signature), toBytes(message.data)) };
    }
    case "encrypt":
    case "decrypt": {
      const key = await importMaterial(message.key);
      return { data: toText(await subtle[message.operation](algorithm, key, toBytes(message.data))) };
    }
    case "deriveBits":
      return { data: toText(await deriveBits(algorithm, message)) };
    case "importKey": {
      const key = await importMaterial(message.key);
      return { keys: [describe(key, message.extractable, message.key)] };
    }
    default:
      return await generateKey(algorithm, message);
  }
}

/** The parameters as Web Crypto takes them; a name that is not in the list is refused. */
async function readAlgorithm(algorithm: CryptoAlgorithm, operation: CryptoMessage["operation"]): Promise<never> {
  const name = names.get(algorithm.name.toLowerCase());
  if (name === undefined || !allowed[name]?.includes(operation)) {
    throw new DOMException(`The algorithm is not supported for "${operation}"`, "NotSupportedError");
  }
  const { iv, additionalData, counter, salt, info, label, publicExponent, public: other, ...plain } = algorithm;
  const given = { iv, additionalData, counter, salt, info, label, publicExponent };
  const decoded = Object.entries(given).flatMap(([key, text]) => (text === undefined ? [] : [[key, toBytes(text)]]));
  return {
    ...plain,
    ...(Object.fromEntries(decoded) as object),
    ...(other === undefined ? {} : { public: await importMaterial(other) }),
    name,
  } as never;
}

async function importMaterial({ format, data, algorithm, usages }: KeyMaterial): Promise<Key> {
  const parameters = await readAlgorithm(algorithm, "importKey");
  const bytes = format === "jwk" ? (JSON.parse(data) as never) : (toBytes(data) as never);
  // Derivation keys have no export, so Web Crypto insists that they are not extractable.
  const extractable = !/^(PBKDF2|HKDF)$/i.test(algorithm.name);
  const key = await subtle.importKey(format as never, bytes, parameters, extractable, usages as never);
  const { modulusLength = 0 } = key.algorithm as { modulusLength?: number };
  if (modulusLength > modulusBitsMax) {
    throw new DOMException(`The key has ${modulusLength} bits: at most ${modulusBitsMax} are allowed`, "DataError");
  }
  return key;
}

async function exportKey(key: KeyMaterial, format: KeyMaterial["format"]): Promise<CryptoAnswer> {
  const exported: unknown = await subtle.exportKey(format as never, await importMaterial(key));
  return { data: format === "jwk" ? JSON.stringify(exported) : toText(exported as ArrayBuffer) };
}

type DeriveMessage = Extract<CryptoMessage, { operation: "deriveBits" }>;

async function deriveBits(algorithm: never, { key, length, forKey }: DeriveMessage): Promise<ArrayBuffer> {
  const needed = forKey === true ? "deriveKey" : "deriveBits";
  if (!key.usages.includes(needed)) throw new DOMException(`The key does not allow ${needed}`, "InvalidAccessError");
  return await subtle.deriveBits(algorithm, await importMaterial({ ...key, usages: ["deriveBits"] }), length);
}

type GenerateMessage = Extract<CryptoMessage, { operation: "generateKey" }>;

async function generateKey(algorithm: never, message: GenerateMessage): Promise<CryptoAnswer> {
  const exponent = message.algorithm.publicExponent;
  if (exponent !== undefined && exponent !== "AQAB") {
    throw new DOMException("The public exponent must be 65537", "OperationError");
  }
  const made: unknown = await subtle.generateKey(algorithm, true, message.usages as never);
  const pair = made as { publicKey?: Key; privateKey?: Key };
  const keys = pair.publicKey === undefined ? [made as Key] : [pair.publicKey, pair.privateKey!];
  return {
    keys: await Promise.all(
      keys.map(async (key) => {
        const format = { secret: "raw", public: "spki", private: "pkcs8" }[key.type] as KeyMaterial["format"];
        const data = toText((await subtle.exportKey(format as never, key)) as unknown as ArrayBuffer);
        const { public: _other, ...plain } = message.algorithm;
        const material = { format, data, algorithm: plain, usages: [...key.usages] };
        return describe(key, message.extractable || key.type === "public", material);
      }),
    ),
  };
}

function describe(key: Key, extractable: boolean, material: KeyMaterial): NonNullable<CryptoAnswer["keys"]>[number] {
  const { publicExponent, ...algorithm } = key.algorithm as { publicExponent?: Uint8Array };
  return {
    type: key.type,
    algorithm: publicExponent === undefined ? algorithm : { ...algorithm, publicExponent: [...publicExponent] },
    usages: [...key.usages],
    extractable,
    material,
  };
}

const toBytes = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text, "base64"));
const toText = (bytes: ArrayBuffer): string => Buffer.from(bytes).toString("base64");
