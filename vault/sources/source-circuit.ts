/**
 * Keeps runs from waiting, one after the other, for a source that is away: after some failures in a row nobody asks it for a
 * while, then one does, and the others wait for what that one finds. The price is that a source which is back is noticed some
 * seconds late. Only a source that is away counts: whatever it answers, it is there. Knows nothing of what is asked.
 */

export interface CircuitBounds {
  /** Failures in a row after which it is not asked. */
  readonly failuresMax: number;
  /** How long; at least as long as one question may take. */
  readonly pauseMs: number;
}

/** No answer was had. `message` is the reason, in words of our own. */
export class SourceAwayError extends Error {}

export class SourceCircuit {
  readonly #bounds: CircuitBounds;
  #failures = 0;
  #pausedUntilMs = 0;

  constructor(bounds: CircuitBounds) {
    this.#bounds = bounds;
  }

  /** What `ask` gives or throws. Throws SourceAwayError without asking during a pause. */
  async run<T>(ask: () => Promise<T>): Promise<T> {
    const { failuresMax, pauseMs } = this.#bounds;
    const nowMs = performance.now();
    if (nowMs < this.#pausedUntilMs) {
      const waitMs = Math.ceil(this.#pausedUntilMs - nowMs);
      throw new SourceAwayError(
        `it did not answer ${this.#failures} times in a row, and is asked again in ${waitMs} ms`,
      );
    }
    // This one tries; a pause for all others begins now, so that they do not wait with it.
    if (this.#failures >= failuresMax) this.#pausedUntilMs = nowMs + pauseMs;
    try {
      const answer = await ask();
      this.#close();
      return answer;
    } catch (error) {
      if (error instanceof SourceAwayError) this.#fail();
      else this.#close();
      throw error;
    }
  }

  #fail(): void {
    this.#failures += 1;
    if (this.#failures >= this.#bounds.failuresMax) this.#pausedUntilMs = performance.now() + this.#bounds.pauseMs;
  }

  #close(): void {
    this.#failures = 0;
    this.#pausedUntilMs = 0;
  }
}
