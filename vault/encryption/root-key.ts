/**
 * What a root key can do, wherever it is: wrap and unwrap the keys of organizations. Here the one whose bytes this process
 * holds, from a file or a variable; one that stays in a KMS is in kms.ts. The bytes stay in memory until close(). Knows
 * nothing of rows and of which root key is in use, which is master-key.ts.
 */
import { deriveKey, open, seal, SealBrokenError, withKey } from "./crypto.ts";

/** What a wrapped key belongs to. Ids only: a KMS writes them into its log in clear text. */
export interface WrapContext {
  /** The row in `master_keys`. */
  readonly rootKeyId: string;
  readonly organizationId: string;
  readonly keyId: string;
}

export interface RootKey {
  /** `local`, or the setting that names the KMS's key. */
  readonly source: string;
  /** A known text wrapped by this key, kept in the database to tell a wrong key. */
  checkValue(id: string): Promise<Buffer>;
  opens(id: string, checkValue: Buffer): Promise<boolean>;
  wrap(key: Buffer, context: WrapContext): Promise<Buffer>;
  /** A copy that the caller zeroes. Throws SealBrokenError. */
  unwrap(wrapped: Buffer, context: WrapContext): Promise<Buffer>;
  /** Forgets what is held in memory. */
  close(): void;
}

const checkText = Buffer.from("stepvault master key");

export class LocalRootKey implements RootKey {
  readonly source = "local";
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  async checkValue(id: string): Promise<Buffer> {
    return withKey(deriveKey(this.#key, "check"), (key) => seal(key, [id], checkText));
  }

  async opens(id: string, checkValue: Buffer): Promise<boolean> {
    try {
      return withKey(deriveKey(this.#key, "check"), (key) => open(key, [id], checkValue)).equals(checkText);
    } catch (error) {
      if (error instanceof SealBrokenError) return false;
      throw error;
    }
  }

  async wrap(key: Buffer, context: WrapContext): Promise<Buffer> {
    return withKey(deriveKey(this.#key, organizationPurpose), (wrapKey) => seal(wrapKey, partsOf(context), key));
  }

  async unwrap(wrapped: Buffer, context: WrapContext): Promise<Buffer> {
    return withKey(deriveKey(this.#key, organizationPurpose), (wrapKey) => open(wrapKey, partsOf(context), wrapped));
  }

  /** A project's key from before organizations had keys. Throws SealBrokenError. */
  unwrapOldProjectKey(wrapped: Buffer, parts: readonly string[]): Buffer {
    return withKey(deriveKey(this.#key, "wrap"), (wrapKey) => open(wrapKey, parts, wrapped));
  }

  close(): void {
    this.#key.fill(0);
  }
}

const organizationPurpose = "wrap organization key";

function partsOf({ rootKeyId, organizationId, keyId }: WrapContext): string[] {
  return ["organization key", organizationId, keyId, rootKeyId];
}
