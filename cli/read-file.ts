/** Reads the files that a command is given; what is wrong is told with the file's role and the reason, not its content. */
import { readFileSync } from "node:fs";
import { StepvaultError } from "../protocol/error.ts";
import type { Json } from "../protocol/job.ts";

/** Throws ERR_FILE_UNREADABLE. `role` says what the file is for, such as "secrets file". */
export function readText(file: string, role: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code } = error as { code?: unknown };
    throw new StepvaultError("ERR_FILE_UNREADABLE", `Cannot read the ${role}: ${String(code)}`, { cause: error });
  }
}

/** Throws ERR_FILE_UNREADABLE. */
export function readJson(file: string, role: string): Json {
  const text = readText(file, role);
  try {
    return JSON.parse(text) as Json;
  } catch {
    // The parser's message quotes the text.
    throw new StepvaultError("ERR_FILE_UNREADABLE", `Cannot read the ${role}: it is not JSON`);
  }
}
