/**
 * Reads a body: JSON in UTF-8, no deeper than what every later step can walk, and nothing else. The parser's own errors are
 * not passed on, as they quote what they read.
 */
import { Refusal } from "./refusal.ts";

const depthMax = 200;

/** The value; undefined for an empty body. Throws ERR_REQUEST_INVALID. */
export function parseBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) return undefined;
  const value = parseJson(bytes);
  checkShape(value);
  return value;
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw refused("it is not JSON in UTF-8");
  }
}

/** Level by level rather than by recursion, so that depth costs no stack. */
function checkShape(value: unknown): void {
  let level = [value].filter(isContainer);
  for (let depth = 1; level.length > 0; depth += 1) {
    if (depth > depthMax) throw refused(`it is nested deeper than ${depthMax}`);
    // Copying a field of this name sets a prototype.
    if (level.some((entry) => Object.hasOwn(entry, "__proto__"))) throw refused("it has a field that is not allowed");
    level = level.flatMap((entry) => Object.values(entry as Record<string, unknown>).filter(isContainer));
  }
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function refused(why: string): Refusal {
  return new Refusal("ERR_REQUEST_INVALID", `Cannot read the body: ${why}`);
}
