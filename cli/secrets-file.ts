/**
 * Reads a file of secrets: a JSON object of names to values, or .env lines (`NAME=value`, `export NAME="value"`, `#`
 * comments). In JSON a value is a string, or an object of the value and the fields of its policy. A wrong file is an error
 * that names the line or entry, never what stands in it.
 */
import { StepvaultError } from "../protocol/error.ts";
import { secretNameSchema, secretValueBytesMax, SecretValue } from "../protocol/secret.ts";
import { checkFit, parsePolicy } from "../vault/policies.ts";
import { readText } from "./read-file.ts";

/** Throws ERR_SECRET_NAME_INVALID, ERR_SECRET_VALUE_INVALID or ERR_SECRET_POLICY_INVALID. */
export function readSecretsFile(file: string): SecretValue[] {
  const text = readText(file, "secrets file");
  const pairs = text.trimStart().startsWith("{") ? parseJsonPairs(text) : parseEnvPairs(text);
  return pairs.map(({ name, value, place, policy: written }) => {
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
    const action = `read ${place} of the secrets file`;
    const policy = parsePolicy(written, action);
    checkFit(value, policy, action);
    return new SecretValue(name, value, policy);
  });
}

interface Pair {
  name: string;
  value: string;
  place: string;
  /** As it stands in the file. */
  policy: object;
}

function parseJsonPairs(text: string): Pair[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw new StepvaultError("ERR_SECRET_VALUE_INVALID", "Cannot read the secrets file: it is not a JSON object");
  }
  return Object.entries(parsed as Record<string, unknown>).map(([name, entry], i) => {
    const place = `entry ${i + 1}`;
    const { value, ...policy } = typeof entry === "string" ? { value: entry } : ((entry ?? {}) as { value?: unknown });
    if (typeof value === "string") return { name, value, place, policy };
    throw new StepvaultError(
      "ERR_SECRET_VALUE_INVALID",
      `Cannot read the secrets file: ${place} is neither a string nor an object whose value is one`,
    );
  });
}

function parseEnvPairs(text: string): Pair[] {
  const pairs: Pair[] = [];
  for (const [i, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const [, name = "", rest = ""] = /^(?:export\s+)?([^=\s]*)\s*=\s*(.*)$/.exec(line) ?? [];
    pairs.push({ name, value: unquote(rest), place: `line ${i + 1}`, policy: {} });
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
