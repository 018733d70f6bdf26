/** What both languages offer to the sandbox host: read the step, run it once, and leave nothing of it behind. */
import type { Language } from "../../protocol/job.ts";
import type { CodeReference, ExecuteMessage } from "../bridge/messages.ts";
import type { GuestPort } from "./guest-port.ts";
import type { WorkerPort } from "./worker-port.ts";

export interface Session {
  /** Parses the step and lists its references. Throws a StepvaultError when it does not parse. No step code runs. */
  prepare(code: string, language: Language): Promise<CodeReference[]>;
  /** Starts the step. Its end arrives through the port that is returned. */
  execute(message: ExecuteMessage): Promise<GuestPort>;
  /** Ends whatever runs and destroys the isolate. Resolves once no call of the guest is pending. */
  dispose(): Promise<void>;
}

/** Makes the session of the next run, with all that can be done before the run is known. */
export type OpenSession = (worker: WorkerPort) => Promise<Session>;
