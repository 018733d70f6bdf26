/**
 * Calls of the same name, one at a time: those that come while one is under way are joined into the next, which is told how
 * many they are. So however many want the same of the database, they hold one connection of it. The price is that each
 * waits for up to two rounds. Knows nothing of what is done.
 */
interface Round {
  calls: number;
  readonly done: Promise<void>;
}

export class JoinedCalls {
  readonly #running = new Map<string, Promise<void>>();
  readonly #waiting = new Map<string, Round>();

  /** Throws what the work of its round throws. Works of the same name have to be exchangeable. */
  async call(name: string, work: (calls: number) => Promise<void>): Promise<void> {
    const waiting = this.#waiting.get(name);
    if (waiting !== undefined) {
      waiting.calls += 1;
      return await waiting.done;
    }
    const running = this.#running.get(name);
    if (running === undefined) return await this.#start(name, async () => await work(1));
    const next = async (): Promise<void> => {
      await running.catch(() => {});
      this.#waiting.delete(name);
      await this.#start(name, async () => await work(round.calls));
    };
    const round: Round = { calls: 1, done: next() };
    this.#waiting.set(name, round);
    return await round.done;
  }

  async #start(name: string, work: () => Promise<void>): Promise<void> {
    const done = work().finally(() => this.#running.delete(name));
    this.#running.set(name, done);
    await done;
  }
}
