/**
 * Sealing of bytes with AES-256-GCM: a sealed blob is `format byte | 12-byte nonce | ciphertext | 16-byte tag`. What a
 * blob belongs to (organization, project, name, …) is bound to it as additional data and stored nowhere in it, so that a
 * blob moved to another row does not open. Also the digests and codes of lists of parts, in the same encoding. Knows
 * nothing of secrets, rows or keys' places.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";

export const keyBytes = 32;
const format = 1;
const nonceBytes = 12;
const tagBytes = 16;
const overheadBytes = 1 + nonceBytes + tagBytes;

/** A blob does not open: another key, another context, or changed bytes. Says nothing of which, as GCM cannot tell. */
export class SealBrokenError extends Error {
  constructor() {
    super("Cannot open a sealed blob: its key, its context or its bytes are not those it was sealed with");
    this.name = "SealBrokenError";
  }
}

/** Encrypts `plaintext` under `key` with a fresh random nonce; `context` has to be given again to open it. */
export function seal(key: Buffer, context: readonly string[], plaintext: Buffer): Buffer {
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(encodeContext(context));
  const ciphertext = cipher.update(plaintext);
  // GCM is a stream: final() adds no bytes, only the tag.
  cipher.final();
  return Buffer.concat([Buffer.of(format), nonce, ciphertext, cipher.getAuthTag()]);
}

/** The plaintext of a blob; the caller zeroes it after use. Throws SealBrokenError. */
export function open(key: Buffer, context: readonly string[], blob: Buffer): Buffer {
  if (blob.length < overheadBytes || blob[0] !== format) throw new SealBrokenError();
  const tagStart = blob.length - tagBytes;
  // Without authTagLength a tag cut to four bytes would be accepted, and forged in minutes.
  const decipher = createDecipheriv("aes-256-gcm", key, blob.subarray(1, 1 + nonceBytes), { authTagLength: tagBytes });
  decipher.setAAD(encodeContext(context));
  decipher.setAuthTag(blob.subarray(tagStart));
  const plaintext = decipher.update(blob.subarray(1 + nonceBytes, tagStart));
  try {
    decipher.final();
    return plaintext;
  } catch {
    // Unauthenticated plaintext must not linger.
    plaintext.fill(0);
    throw new SealBrokenError();
  }
}

/** Runs `work` with a key and zeroes the key afterwards. */
export function withKey<T>(key: Buffer, work: (key: Buffer) => T): T {
  try {
    return work(key);
  } finally {
    key.fill(0);
  }
}

/** A key for one purpose, from another key: no two purposes share a key. */
export function deriveKey(parentKey: Buffer, purpose: string): Buffer {
  return Buffer.from(hkdfSync("sha256", parentKey, Buffer.alloc(0), `stepvault ${purpose} 1`, keyBytes));
}

/** HMAC-SHA-256 of a list of parts. */
export function authenticate(key: Buffer, parts: readonly Part[]): Buffer {
  return createHmac("sha256", key).update(encodeParts(parts)).digest();
}

/** SHA-256 of a list of parts. */
export function digest(parts: readonly Part[]): Buffer {
  return createHash("sha256").update(encodeParts(parts)).digest();
}

/** The additional data of a list of parts: no two lists have the same, whatever the parts contain. */
export function encodeContext(parts: readonly string[]): Buffer {
  return encodeParts([`stepvault ${format}`, ...parts]);
}

type Part = string | Buffer;

/** Each part with its length before it. */
function encodeParts(parts: readonly Part[]): Buffer {
  return Buffer.concat(
    parts.flatMap((part) => {
      const bytes = typeof part === "string" ? Buffer.from(part, "utf8") : part;
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}
