/**
 * What a step asks for with `secrets.sign`, and the answer: options of HMAC, of AWS Signature Version 4 and of a JSON Web
 * Token. The key is no part of either. Options are hostile: each text and list has a bound, and what would be ambiguous
 * to whoever checks the signature (control characters, a token's own algorithm) is refused rather than mended.
 */
import { z } from "zod";
import type { Json } from "../../protocol/job.ts";

/** Base64 of 10 MiB. */
const dataCharactersMax = Math.ceil((10 * 1024 * 1024) / 3) * 4;
const urlCharactersMax = 16 * 1024;
const claimsBytesMax = 64 * 1024;
const headerBytesMax = 8 * 1024;
const depthMax = 100;

/** Set by the token's type, or something that a verifier must understand (RFC 7797, RFC 7515 section 4.1.11). */
const fixedParameters = ["alg", "typ", "b64", "crit"];

const base64 = z
  .string()
  .max(dataCharactersMax, { abort: true })
  .refine((text) => text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text), "base64 with padding");

/** Printable ASCII: a line break would add a line of its own to what is signed, and other bytes have no one spelling. */
const visible = (charactersMax: number) =>
  z
    .string()
    .max(charactersMax)
    .regex(/^[\t\x20-\x7e]*$/, "printable ASCII");

const httpUrl = z
  .string()
  .max(urlCharactersMax, { abort: true })
  .refine((text) => {
    const url = URL.parse(text);
    return url !== null && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
  }, "an http or https URL without credentials");

/** The range in which a time in UTC has a year of four digits. */
const time = z.iso
  .datetime({ offset: true })
  .max(40)
  .refine((text) => {
    const ms = Date.parse(text);
    return ms >= 0 && ms < Date.UTC(10_000);
  }, "a time from 1970 to 9999");

/** Kept as JSON.parse made it, so that a key named `__proto__` stays data and is neither followed nor lost. */
const jsonObject = (bytesMax: number) =>
  z.custom<Record<string, Json>>(
    (value) =>
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      isWithin(value, depthMax) &&
      Buffer.byteLength(JSON.stringify(value)) <= bytesMax,
    `a JSON object of at most ${bytesMax} bytes and ${depthMax} levels`,
  );

/** Whether a value has no more levels than these; asked first, as JSON.stringify takes seconds for millions of them. */
function isWithin(value: unknown, levels: number): boolean {
  if (typeof value !== "object" || value === null) return true;
  return levels > 0 && Object.values(value).every((inner) => isWithin(inner, levels - 1));
}

const hmacOptions = z.strictObject({
  algorithm: z.literal("hmac"),
  hash: z.enum(["SHA-1", "SHA-256", "SHA-384", "SHA-512"]).default("SHA-256"),
  data: base64,
  encoding: z.enum(["hex", "base64", "base64url"]).default("hex"),
  /** What the secret's text is, when it is not the key itself. */
  keyEncoding: z.enum(["utf8", "hex", "base64"]).default("utf8"),
});
export type HmacOptions = z.infer<typeof hmacOptions>;

const awsSigV4Options = z.strictObject({
  algorithm: z.literal("aws-sigv4"),
  accessKeyId: z.string().regex(/^[\w.:@+-]{1,128}$/),
  sessionToken: z
    .string()
    .regex(/^[\x21-\x7e]{1,8192}$/)
    .optional(),
  region: z.string().regex(/^[\w-]{1,64}$/),
  service: z.string().regex(/^[\w-]{1,64}$/),
  method: z.string().regex(/^[A-Za-z]{1,32}$/),
  url: httpUrl,
  headers: z
    .array(z.tuple([z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/), visible(8_192)]))
    .max(100)
    .default([]),
  /** SHA-256 of the body. */
  bodyHash: z.union([
    z.literal("UNSIGNED-PAYLOAD"),
    z
      .string()
      .regex(/^[0-9A-Fa-f]{64}$/)
      .toLowerCase(),
  ]),
  /** When the request is made; now when there is none. */
  date: time.optional(),
});
export type AwsSigV4Options = z.infer<typeof awsSigV4Options>;

const jwtOptions = z.strictObject({
  algorithm: z.literal("jwt"),
  type: z.enum(["HS256", "RS256", "ES256"]),
  header: jsonObject(headerBytesMax)
    .refine(
      (header) => !fixedParameters.some((name) => Object.hasOwn(header, name)),
      `without ${fixedParameters.join(", ")}`,
    )
    .optional(),
  claims: jsonObject(claimsBytesMax),
});
export type JwtOptions = z.infer<typeof jwtOptions>;

export const signOptionsSchema = z.discriminatedUnion("algorithm", [hmacOptions, awsSigV4Options, jwtOptions]);
export type SignOptions = z.infer<typeof signOptionsSchema>;

/** By algorithm: HMAC's value, headers to add to the AWS request, the token. */
export type SignAnswer = { signature: string } | { headers: [name: string, value: string][] } | { token: string };
