/**
 * The guest's question to the host's Web Crypto, and its answer. A closed list of operations, algorithms and parameters,
 * with bounds on what costs time: native code cannot be stopped, it can only be waited for or killed with its process.
 */
import { z } from "zod";

/** Bytes of data in one call, as base64. */
const dataCharactersMax = 32 * 1024 * 1024;
const keyCharactersMax = 64 * 1024;
const iterationsMax = 10_000_000;
const derivedBitsMax = 64 * 1024;
export const modulusBitsMax = 8_192;

const bytes = z.string().max(dataCharactersMax);
const shortBytes = z.string().max(keyCharactersMax);
const hash = z.string().max(20);
const usages = z.array(z.string().max(20)).max(8);

const algorithmFields = {
  name: z.string().max(40),
  hash: hash.optional(),
  iv: shortBytes.optional(),
  additionalData: bytes.optional(),
  tagLength: z.int().min(32).max(128).optional(),
  counter: shortBytes.optional(),
  length: z.int().min(1).max(4_096).optional(),
  salt: bytes.optional(),
  info: bytes.optional(),
  label: bytes.optional(),
  iterations: z.int().min(1).max(iterationsMax).optional(),
  saltLength: z.int().min(0).max(1_024).optional(),
  namedCurve: z.string().max(20).optional(),
  modulusLength: z.int().min(1_024).max(4_096).optional(),
  publicExponent: shortBytes.optional(),
};
const plainAlgorithm = z.object(algorithmFields);

const materialSchema = z.object({
  format: z.enum(["raw", "pkcs8", "spki", "jwk"]),
  data: z.string().max(keyCharactersMax),
  algorithm: plainAlgorithm,
  usages,
});
export type KeyMaterial = z.infer<typeof materialSchema>;

const algorithm = z.object({ ...algorithmFields, public: materialSchema.optional() });
export type CryptoAlgorithm = z.infer<typeof algorithm>;

const call = <Operation extends string, Shape extends z.ZodRawShape>(operation: Operation, shape: Shape) =>
  z.object({ type: z.literal("crypto"), operation: z.literal(operation), algorithm, ...shape });

export const cryptoMessageSchema = z.discriminatedUnion("operation", [
  call("digest", { data: bytes }),
  call("sign", { key: materialSchema, data: bytes }),
  call("verify", { key: materialSchema, signature: bytes, data: bytes }),
  call("encrypt", { key: materialSchema, data: bytes }),
  call("decrypt", { key: materialSchema, data: bytes }),
  call("deriveBits", {
    key: materialSchema,
    length: z.int().min(0).max(derivedBitsMax),
    /** Whether the bits are to be a key: then the usage `deriveKey` is what allows it. */
    forKey: z.boolean().optional(),
  }),
  call("importKey", { key: materialSchema, extractable: z.boolean() }),
  call("exportKey", { key: materialSchema, format: z.enum(["raw", "pkcs8", "spki", "jwk"]) }),
  call("generateKey", { extractable: z.boolean(), usages }),
]);
export type CryptoMessage = z.infer<typeof cryptoMessageSchema>;

interface CryptoKeyAnswer {
  type: string;
  algorithm: object;
  usages: string[];
  extractable: boolean;
  material: KeyMaterial;
}

/** What every question has; the rest is read by `cryptoMessageSchema`, whose refusal is an answer and not the run's end. */
export const cryptoEnvelopeSchema = z.looseObject({ type: z.literal("crypto") });

/** One of its fields, by operation. An error's name is that of a DOMException or "TypeError". */
export interface CryptoAnswer {
  error?: { name: string; message: string };
  /** Base64, or the JSON text of a JWK. */
  data?: string;
  verified?: boolean;
  keys?: CryptoKeyAnswer[];
}
