/** What both languages offer to the sandbox host: read the step, then run it once. */
import type { Language } from "../../protocol/job.ts";
import type { CodeReference, ExecuteMessage } from "../bridge/messages.ts";
import type { GuestPort } from "./guest-port.ts";

export interface Session {
  /** Parses the step and lists its references. Throws a StepvaultError when it does not parse. No step code runs. */
  prepare(code: string, language: Language): Promise<CodeReference[]>;
  /** Starts the step. Its end arrives through the port that is returned. */
  execute(message: ExecuteMessage): Promise<GuestPort>;
}
