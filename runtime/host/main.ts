/**
 * A sandbox host process: serves one run. It is told its language, gets ready, reads the step, is given the values of
 * the secrets that the step refers to, runs it, and is then killed by the worker. It imports neither queue nor vault
 * nor database, and what it may do is decided by the flags that it is started with (runtime/host-process.ts).
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { HostError, WorkerMessage } from "../bridge/messages.ts";
import type { GuestPort } from "./guest-port.ts";
import { createJavaScriptSession } from "./javascript.ts";
import { createPythonSession } from "./python.ts";
import type { Session } from "./session.ts";
import { WorkerPort } from "./worker-port.ts";

let session: Session | undefined;
let guest: GuestPort | undefined;

async function handle(message: WorkerMessage): Promise<void> {
  switch (message.type) {
    case "boot": {
      session =
        message.language === "javascript"
          ? await createJavaScriptSession(port, message.packages)
          : await createPythonSession(port, message);
      port.send({ type: "ready" });
      return;
    }
    case "prepare": {
      if (session === undefined)
        throw new StepvaultError("ERR_INTERNAL", "Cannot read a step before the host is ready");
      port.send({ type: "references", references: await session.prepare(message.code, message.language) });
      return;
    }
    case "execute": {
      if (session === undefined) throw new StepvaultError("ERR_INTERNAL", "Cannot run a step before the host is ready");
      guest = await session.execute(message);
      return;
    }
    case "response": {
      guest?.respond(message);
      return;
    }
  }
}

function describe(error: unknown): HostError {
  if (!(error instanceof StepvaultError)) {
    // The text of a foreign error may quote the step or a value, so only its kind is told.
    const kind = error instanceof Error ? error.name : typeof error;
    return { code: "ERR_INTERNAL", message: `Cannot serve the run: an unexpected ${kind} in the sandbox host` };
  }
  return {
    code: error.code,
    message: error.message,
    ...(error.position === undefined ? {} : error.position),
    ...(error.guestStack === undefined ? {} : { stack: error.guestStack }),
  };
}

const port = new WorkerPort(
  process.stdin,
  process.stdout,
  (message) => {
    handle(message).catch((error: unknown) => port.send({ type: "failed", error: describe(error) }));
  },
  // The worker is gone. An ordinary exit would wait for the isolate's thread, which a step can keep busy for ever.
  () => process.kill(process.pid, "SIGKILL"),
);

process.on("uncaughtException", (error) => port.send({ type: "failed", error: describe(error) }));
process.on("unhandledRejection", (error) => port.send({ type: "failed", error: describe(error) }));
