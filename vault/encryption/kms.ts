/**
 * A root key that stays in a key management service: organizations' keys are sent there to be wrapped and unwrapped. What
 * was unwrapped is kept for a bounded time, so that a run does not wait for the network and a service that is away for a
 * while stops nothing; the price is that a key which was revoked there works on here for as long. Knows nothing of any one
 * service: an adapter does, such as kms-transit.ts.
 */
import { createHash } from "node:crypto";
import { createId } from "../../protocol/ids.ts";
import { SealBrokenError } from "./crypto.ts";
import { unavailable } from "./kms-http.ts";
import type { RootKey, WrapContext } from "./root-key.ts";

/** One service. Both calls end within a bounded time; throw ERR_KMS_UNAVAILABLE. */
export interface KmsAdapter {
  /** The setting that names the key, without anything secret. */
  readonly source: string;
  wrap(key: Buffer, context: WrapContext): Promise<Buffer>;
  /** Throws SealBrokenError when the service says that the blob is not its own or has another context. */
  unwrap(blob: Buffer, context: WrapContext): Promise<Buffer>;
  /** Throws unless the service answers, is unsealed and has the key. */
  health(): Promise<void>;
}

export interface CacheBounds {
  readonly keysMax: number;
  readonly ageMsMax: number;
}

const cacheBounds: CacheBounds = { keysMax: 1_000, ageMsMax: 600_000 };
const checkText = Buffer.from("stepvault master key in a kms..");

export class KmsRootKey implements RootKey {
  readonly source: string;
  readonly #adapter: KmsAdapter;
  readonly #bounds: CacheBounds;
  /** In the order of their age. */
  readonly #cache = new Map<string, { readonly key: Buffer; readonly timer: NodeJS.Timeout }>();

  constructor(adapter: KmsAdapter, bounds: CacheBounds = cacheBounds) {
    this.source = adapter.source;
    this.#adapter = adapter;
    this.#bounds = bounds;
  }

  async checkValue(id: string): Promise<Buffer> {
    return await this.#adapter.wrap(checkText, checkContext(id));
  }

  async opens(id: string, checkValue: Buffer): Promise<boolean> {
    try {
      return (await this.#adapter.unwrap(checkValue, checkContext(id))).equals(checkText);
    } catch (error) {
      if (error instanceof SealBrokenError) return false;
      throw error;
    }
  }

  async wrap(key: Buffer, context: WrapContext): Promise<Buffer> {
    return await this.#adapter.wrap(key, context);
  }

  async unwrap(wrapped: Buffer, context: WrapContext): Promise<Buffer> {
    // By the blob as well: one that was changed in the database does not open, cached or not.
    const { rootKeyId, organizationId, keyId } = context;
    const name = [rootKeyId, organizationId, keyId, createHash("sha256").update(wrapped).digest("hex")].join(" ");
    const cached = this.#cache.get(name);
    if (cached !== undefined) return Buffer.from(cached.key);
    const key = await this.#adapter.unwrap(wrapped, context);
    this.#keep(name, key);
    return Buffer.from(key);
  }

  /** Throws unless the service answers and has the key, and something went through it and came back. */
  async health(): Promise<void> {
    await this.#adapter.health();
    const id = createId();
    if (await this.opens(id, await this.checkValue(id))) return;
    throw unavailable("use its key: what it wraps it does not unwrap");
  }

  #keep(name: string, key: Buffer): void {
    this.#forget(name);
    // No timer keeps a process alive, and none leaves a key in one that goes on living.
    const timer = setTimeout(() => this.#forget(name), this.#bounds.ageMsMax).unref();
    this.#cache.set(name, { key, timer });
    const [oldest] = this.#cache.keys();
    if (this.#cache.size > this.#bounds.keysMax && oldest !== undefined) this.#forget(oldest);
  }

  #forget(name: string): void {
    const entry = this.#cache.get(name);
    if (entry === undefined) return;
    clearTimeout(entry.timer);
    entry.key.fill(0);
    this.#cache.delete(name);
  }

  close(): void {
    for (const name of this.#cache.keys()) this.#forget(name);
  }
}

function checkContext(id: string): WrapContext {
  return { rootKeyId: id, organizationId: id, keyId: id };
}
