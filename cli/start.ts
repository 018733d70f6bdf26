/** `stepvault start`, `worker` and `api`: the processes that serve, until SIGTERM or SIGINT. */
import { readSettings } from "./environment.ts";
import { serve, type Serving } from "./serve.ts";
import { note } from "./terminal.ts";

const leftBehindMsMax = 1_000;

export const startCommand = command({ worker: true, api: true });
export const workerCommand = command({ worker: true, api: false });
export const apiCommand = command({ worker: false, api: true });

function command(serving: Serving): () => Promise<void> {
  return async () => {
    await serve(readSettings(), { ...serving, onListening: tell });
    // Everything is closed. What a library has left behind, as BullMQ a timer when Redis was away, must not keep the process.
    setTimeout(() => process.exit(), leftBehindMsMax).unref();
  };
}

/** To whoever started it, and not to the log: the link is a way in. */
function tell(address: string, link: string | undefined): void {
  note(`The API listens on ${address}`);
  if (link !== undefined) note(`Sign in, once, within 15 minutes: ${link}`);
}
