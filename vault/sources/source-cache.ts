/**
 * Values of outside sources, kept for a bounded time: young ones answer instead of the source, older ones only while it is
 * away. They are bytes, zeroed when their time is over, when others need the room, when they are forgotten, and at the end;
 * the price is that a value which was taken back there works on here until it is old. Knows nothing of sources: what a key
 * stands for is the caller's to say.
 */

export interface SourceCacheBounds {
  /** Until then a value is as good as the source's. */
  readonly ageMsMax: number;
  /** Until then it is better than none. */
  readonly staleMsMax: number;
  readonly entriesMax: number;
}

interface Entry {
  readonly value: Buffer;
  readonly keptAtMs: number;
  readonly timer: NodeJS.Timeout;
}

export class SourceCache {
  readonly #bounds: SourceCacheBounds;
  /** In the order of their age. */
  readonly #entries = new Map<string, Entry>();
  #closed = false;

  constructor(bounds: SourceCacheBounds) {
    this.#bounds = bounds;
  }

  /** A value that is young enough to be used without a question. */
  fresh(key: string): string | undefined {
    return this.#younger(key, this.#bounds.ageMsMax);
  }

  /** A value that may be used while the source is away. */
  stale(key: string): string | undefined {
    return this.#younger(key, this.#bounds.staleMsMax);
  }

  /** Takes the buffer over: it is zeroed when the value goes. */
  keep(key: string, value: Buffer): void {
    this.forget(key);
    if (this.#closed) {
      value.fill(0);
      return;
    }
    // No timer keeps a process alive, and none leaves a value in one that goes on living.
    const timer = setTimeout(() => this.forget(key), this.#bounds.staleMsMax).unref();
    this.#entries.set(key, { value, keptAtMs: performance.now(), timer });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > this.#bounds.entriesMax && oldest !== undefined) this.forget(oldest);
  }

  forget(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    clearTimeout(entry.timer);
    entry.value.fill(0);
    this.#entries.delete(key);
  }

  /** Forgets everything, and what is kept from now on at once. */
  close(): void {
    this.#closed = true;
    for (const key of this.#entries.keys()) this.forget(key);
  }

  /** The age is looked at here too: a timer is late in a process that was busy or asleep. */
  #younger(key: string, ageMsMax: number): string | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || performance.now() - entry.keptAtMs >= ageMsMax) return undefined;
    return entry.value.toString("utf8");
  }
}
