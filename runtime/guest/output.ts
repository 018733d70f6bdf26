/**
 * The step's output as JSON text, by one rule for both languages (docs/steps.md): null, booleans, finite numbers,
 * strings, arrays and plain objects pass; everything else is an error that names its path. `undefined` is null as the
 * output or in an array, and leaves its key out of an object. Runs inside the isolate, so the text is data to the host.
 */
import type { GuestLimits } from "./bridge.ts";

/** The output cannot be JSON, or is too large or too deep: a code of protocol/error.ts and a message. */
export class OutputError {
  readonly code: string;
  readonly message: string;
  readonly #ours = true;

  constructor(code: string, message: string) {
    this.code = code;
    this.message = message;
  }
  /** Whether a thrown thing is one; asks nothing of it, as it may be a proxy. */
  static is(thrown: unknown): thrown is OutputError {
    return typeof thrown === "object" && thrown !== null && #ours in thrown && thrown.#ours;
  }
}

export function outputToJson(output: unknown, limits: GuestLimits): string {
  const parents: object[] = [];
  let bytes = 0;

  const refuse = (path: string, what: string): never => {
    throw new OutputError(
      "ERR_OUTPUT_NOT_JSON",
      `Cannot return the output: ${path} is ${what}, which JSON cannot hold`,
    );
  };
  const count = (text: string): string => {
    bytes += text.length;
    if (bytes > limits.outputBytesMax) {
      throw new OutputError(
        "ERR_LIMIT_OUTPUT",
        `Cannot return the output: it has more than ${limits.outputBytesMax} bytes of JSON`,
      );
    }
    return text;
  };

  const write = (value: unknown, path: string): string => {
    switch (typeof value) {
      case "undefined":
        return count("null");
      case "boolean":
        return count(String(value));
      case "string":
        // Counted before it is quoted: a string of 500 MB must not be copied to find out that it is too long.
        count(value);
        return JSON.stringify(value);
      case "number":
        if (!Number.isFinite(value)) refuse(path, String(value));
        return count(Object.is(value, -0) ? "0" : String(value));
      case "object":
        return value === null ? count("null") : writeObject(value, path);
      default:
        return refuse(path, `a ${typeof value}`);
    }
  };

  const writeObject = (value: object, path: string): string => {
    if (parents.includes(value)) refuse(path, "a cycle");
    if (parents.length >= limits.outputDepthMax) {
      throw new OutputError(
        "ERR_LIMIT_OUTPUT",
        `Cannot return the output: it is nested deeper than ${limits.outputDepthMax}`,
      );
    }
    parents.push(value);
    const text = Array.isArray(value) ? writeArray(value, path) : writeEntries(value, path);
    parents.pop();
    return text;
  };

  const writeArray = (items: unknown[], path: string): string => {
    const parts: string[] = [];
    for (let i = 0; i < items.length; i++) parts.push(write(items[i], `${path}[${i}]`));
    count(",".repeat(Math.min(items.length, limits.outputBytesMax + 1)));
    return `[${parts.join(",")}]`;
  };

  const writeEntries = (value: object, path: string): string => {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== null && prototype !== Object.prototype) refuse(path, `a ${kindName(value)}`);
    const parts: string[] = [];
    for (const key of Object.keys(value)) {
      const item: unknown = (value as Record<string, unknown>)[key];
      if (item === undefined) continue;
      count(key);
      parts.push(`${JSON.stringify(key)}:${write(item, pathOf(path, key))}`);
    }
    return `{${parts.join(",")}}`;
  };

  return write(output, "$");
}

function pathOf(path: string, key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key.slice(0, 60))}]`;
}

function kindName(value: object): string {
  if (value instanceof Date) return "Date (use toISOString())";
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return "block of bytes (use base64)";
  if (value instanceof Map) return "Map (use Object.fromEntries)";
  if (value instanceof Set) return "Set (use an array)";
  if (value instanceof Promise) return "Promise (await it)";
  if (value instanceof Error) return "Error (return its message)";
  return "class instance";
}
