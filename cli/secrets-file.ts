/**
 * Reads a file of secrets: a JSON object of names to strings, or .env lines (`NAME=value`, `export NAME="value"`, `#`
 * comments). A wrong file is an error that names the line, never what stands in it.
 */
import { StepvaultError } from "../protocol/error.ts";
import { readText } from "./read-file.ts";
import { secretNameSchema, secretValueBytesMax, SecretValue } from "../protocol/secret.ts";

/** Throws ERR_SECRET_NAME_INVALID or ERR_SECRET_VALUE_INVALID. */
export function readSecretsFile(file: string): SecretValue[] {
  const text = readText(file, "secrets file");
  const pairs = text.trimStart().startsWith("{") ? parseJsonPairs(text) : parseEnvPairs(text);
  return pairs.map(({ name, value, place }) => {
    if (!secretNameSchema.safeParse(name).success) {
      throw new StepvaultError("ERR_SECRET_NAME_INVALID", `Cannot read the secrets file: ${place} has no valid name`);
    }
    const bytes = Buffer.byteLength(value);
    if (bytes === 0 || bytes > secretValueBytesMax) {
      throw new StepvaultError(
        "ERR_SECRET_VALUE_INVALID",
        `Cannot read the secrets file: ${place} has a value of ${bytes} bytes`,
      );
    }
    return new SecretValue(name, value);
  });
}

interface Pair {
  name: string;
  value: string;
  place: string;
}

function parseJsonPairs(text: string): Pair[] {
  const wrong = new StepvaultError(
    "ERR_SECRET_VALUE_INVALID",
    "Cannot read the secrets file: it is not a JSON object of strings",
  );
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw wrong;
  }
  return Object.entries(parsed as Record<string, unknown>).map(([name, value], i) => {
    if (typeof value !== "string") throw wrong;
    return { name, value, place: `entry ${i + 1}` };
  });
}

function parseEnvPairs(text: string): Pair[] {
  const pairs: Pair[] = [];
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const [, name = "", rest = ""] = /^(?:export\s+)?([^=\s]*)\s*=\s*(.*)$/.exec(line) ?? [];
    pairs.push({ name, value: unquote(rest), place: `line ${i + 1}` });
  }
  return pairs;
}

function unquote(text: string): string {
  const quoted = /^(["'])(.*)\1$/s.exec(text);
  if (quoted === null) return text;
  const [, mark, inner = ""] = quoted;
  if (mark === "'") return inner;
  return inner.replaceAll(/\\(["\\nrt])/g, (_, letter: string) => ({ n: "\n", r: "\r", t: "\t" })[letter] ?? letter);
}
