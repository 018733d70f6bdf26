/** Does something again and again, with a pause between: never twice at once, and a failure ends nothing. */
import { setTimeout as sleep } from "node:timers/promises";

export interface LookOptions {
  readonly pauseMs: number;
  readonly onError: (error: unknown) => void;
}

/** Begins at once; `stop` aborts the look's signal and resolves once the look that is under way has ended. */
export function lookAgain(
  look: (signal: AbortSignal) => Promise<unknown>,
  { pauseMs, onError }: LookOptions,
): { stop(): Promise<void> } {
  const abort = new AbortController();
  const loop = async (): Promise<void> => {
    while (!abort.signal.aborted) {
      await look(abort.signal).catch(onError);
      await sleep(pauseMs, undefined, { signal: abort.signal, ref: false }).catch(() => {});
    }
  };
  const looping = loop();
  return {
    async stop() {
      abort.abort();
      await looping;
    },
  };
}
