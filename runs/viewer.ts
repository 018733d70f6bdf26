/**
 * One who follows a run. Waits for one thing at a time, a page or a change, and gives up at once when it leaves. A thousand
 * of them are woken for each line, so what it waits for is a function of its own and no listener on a signal.
 */
import type { StepvaultError } from "../protocol/error.ts";

/** `over`: nothing comes any more. An error: it shall not wait any longer. */
export type WakeReason = "changed" | "over" | StepvaultError;

export class Viewer {
  /** The number of the event that it waits for; undefined while it has something to do. */
  awaits: number | undefined;
  #left = false;
  #wake: (why: WakeReason) => void = () => {};
  #giveUp: () => void = () => {};

  get hasLeft(): boolean {
    return this.#left;
  }

  leave(): void {
    this.#left = true;
    this.#giveUp();
  }

  /** Ends its wait for a change, if that is what it does. */
  wake(why: WakeReason): void {
    if (this.awaits === undefined) return;
    this.awaits = undefined;
    this.#wake(why);
  }

  /** Waits until there may be an event from a number on: false when none will come, or the viewer has left. */
  async change(from: number): Promise<boolean> {
    const woken = new Promise<boolean>((resolve, reject) => {
      this.#wake = (why) => {
        if (why === "changed") resolve(true);
        else if (why === "over") resolve(false);
        else reject(why);
      };
    });
    this.awaits = from;
    this.#giveUp = () => this.wake("over");
    if (this.#left) this.#giveUp();
    return await woken;
  }

  /** What a promise gives; undefined when the viewer leaves before. */
  async until<T>(promise: Promise<T>): Promise<T | undefined> {
    return await new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(undefined);
      if (this.#left) this.#giveUp();
      promise.then(resolve, reject);
    });
  }
}
