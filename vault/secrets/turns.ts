/**
 * Turns of those who want the same, in the order in which they came: two at a time, so that one prepares while the other holds
 * what both want. The rest wait in memory and hold no connection of the database, so that however many uses of secrets one
 * organization has at once, no other organization waits for them. Knows nothing of what is done.
 */
const atOnceMax = 2;

export class Turns {
  readonly #running = new Map<string, number>();
  readonly #waiting = new Map<string, (() => void)[]>();

  /** Gives and throws what the work does. */
  async take<T>(name: string, work: () => Promise<T>): Promise<T> {
    const running = this.#running.get(name) ?? 0;
    if (running < atOnceMax) this.#running.set(name, running + 1);
    else await this.#wait(name);
    try {
      return await work();
    } finally {
      this.#pass(name);
    }
  }

  async #wait(name: string): Promise<void> {
    const waiting = this.#waiting.get(name) ?? [];
    this.#waiting.set(name, waiting);
    await new Promise<void>((resolve) => waiting.push(resolve));
  }

  /** On to the next who waits, or back. */
  #pass(name: string): void {
    const waiting = this.#waiting.get(name);
    const next = waiting?.shift();
    if (waiting?.length === 0) this.#waiting.delete(name);
    if (next !== undefined) return next();
    const running = this.#running.get(name)! - 1;
    if (running === 0) this.#running.delete(name);
    else this.#running.set(name, running);
  }
}
