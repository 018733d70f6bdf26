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

/** Costs about as much as the parsing, also for a body that is nothing but brackets; the depth bounds the stack. */
function checkShape(value: unknown, depth = 1): void {
  if (typeof value !== "object" || value === null) return;
  if (depth > depthMax) throw refused(`it is nested deeper than ${depthMax}`);
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) checkShape(value[index], depth + 1);
    return;
  }
  for (const [key, entry] of Object.entries(value)) {
    // Copying a field of this name sets a prototype.
    if (key === "__proto__") throw refused("it has a field that is not allowed");
    checkShape(entry, depth + 1);
  }
}

function refused(why: string): Refusal {
  return new Refusal("ERR_REQUEST_INVALID", `Cannot read the body: ${why}`);
}
