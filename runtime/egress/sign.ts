/**
 * Computes what a sealed key signs, in the worker, as the key must not enter the sandbox: HMAC here, AWS requests and JSON
 * Web Tokens in files of their own. Long work is done on Node's thread pool, so that the worker stays awake. Whether a
 * secret may be used so is decided before. Imports the protocol and the bridge's types only.
 */
import { webcrypto } from "node:crypto";
import { StepvaultError } from "../../protocol/error.ts";
import type { HmacOptions, SignAnswer, SignOptions } from "../bridge/sign.ts";
import { signAwsRequest } from "./aws-sigv4.ts";
import { signJwt } from "./jwt.ts";

const { subtle } = webcrypto;

/**
 * Signs with a secret's value: `{ signature }` of HMAC (RFC 2104), `{ headers }` of AWS Signature Version 4, `{ token }` of
 * a JSON Web Token (RFC 7519). Whatever fails is an ERR_SIGN_INVALID that holds nothing of the key, of what is signed or
 * of OpenSSL's own text.
 */
export async function sign(key: string, options: SignOptions): Promise<SignAnswer> {
  if (key === "") throw refusal(options.algorithm, "the secret is empty");
  try {
    return await compute(key, options);
  } catch (error) {
    if (error instanceof StepvaultError) throw error;
    // Without a cause: its message may quote the key.
    throw refusal(options.algorithm, "the computation failed");
  }
}

async function compute(key: string, options: SignOptions): Promise<SignAnswer> {
  switch (options.algorithm) {
    case "hmac":
      return { signature: await signHmac(key, options) };
    case "aws-sigv4":
      return { headers: signAwsRequest(key, options) };
    default:
      return { token: await signJwt(key, options) };
  }
}

async function signHmac(key: string, { hash, data, encoding, keyEncoding }: HmacOptions): Promise<string> {
  const keyBytes = decodeKey(key, keyEncoding);
  try {
    const imported = await subtle.importKey("raw", keyBytes, { name: "HMAC", hash }, false, ["sign"]);
    const signature = await subtle.sign("HMAC", imported, Buffer.from(data, "base64"));
    return Buffer.from(signature).toString(encoding);
  } finally {
    keyBytes.fill(0);
  }
}

/** Strict, as Buffer would leave out what it cannot read, and so sign with another key. Padding may be missing. */
const keyPatterns = {
  utf8: /^/,
  hex: /^(?:[0-9A-Fa-f]{2})+$/,
  base64: /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{3}=?|[A-Za-z0-9+/]{2}(?:==)?)$/,
};

function decodeKey(key: string, encoding: HmacOptions["keyEncoding"]): Buffer<ArrayBuffer> {
  if (!keyPatterns[encoding].test(key))
    throw refusal("hmac", `the secret is not the ${encoding} that keyEncoding says`);
  return Buffer.from(key, encoding);
}

function refusal(algorithm: SignOptions["algorithm"], reason: string): StepvaultError {
  return new StepvaultError("ERR_SIGN_INVALID", `Cannot sign with ${algorithm}: ${reason}`);
}
