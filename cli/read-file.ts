/** Reads the files that a command is given; what is wrong is told with the file's role and the reason, not its content. */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { StepvaultError } from "../protocol/error.ts";
import type { Json } from "../protocol/job.ts";
import { RoundedNumber } from "./exact-json.ts";

/** Throws ERR_FILE_UNREADABLE. `role` says what the file is for, such as "secrets file". */
export function readText(file: string, role: string): string {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const { code } = error as { code?: unknown };
    throw new StepvaultError("ERR_FILE_UNREADABLE", `Cannot read the ${role}: ${String(code)}`, { cause: error });
  }
  // Decoding would put U+FFFD for what is none, and a secret would be another one in silence.
  if (!isUtf8(bytes)) throw new StepvaultError("ERR_FILE_UNREADABLE", `Cannot read the ${role}: it is not UTF-8 text`);
  return bytes.toString("utf8");
}

/** Throws ERR_FILE_UNREADABLE; `parse` may tell of what else is wrong with an error of its own. */
export function readJson(file: string, role: string, parse: (text: string) => Json = JSON.parse): Json {
  const text = readText(file, role);
  try {
    return parse(text);
  } catch (error) {
    // The parser's message quotes the text.
    const why = error instanceof RoundedNumber ? error.message : "it is not JSON";
    throw new StepvaultError("ERR_FILE_UNREADABLE", `Cannot read the ${role}: ${why}`);
  }
}
