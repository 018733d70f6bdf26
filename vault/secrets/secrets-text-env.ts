/**
 * `.env` lines: reads what the common tools read, and writes so that as many of them as possible read the value back and none
 * of them takes a part of it for another assignment. Where readers disagree about what is written here, the line is a fault
 * when read, and contained in its own entry when written. docs/secrets-files.md has the table. Knows no rule of names,
 * values and policies.
 */
import type { SecretsFault, WrittenEntry, WrittenText } from "./secrets-text-faults.ts";

const quotes = new Set(["'", '"', "`"]);
const unescaped: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t" };

/** Reads no more than `entriesMax` assignments, and nothing after a quote that is never closed. */
export function readEnvText(input: string, entriesMax: number): WrittenText {
  const written: WrittenEntry[] = [];
  const faults: SecretsFault[] = [];
  // As dotenv and Python read it: a carriage return ends a line, within quotes too.
  const text = input.replaceAll(/\r\n?/g, "\n");
  let count = 0;
  for (let start = 0, line = 1, next = 0; start < text.length; start = next) {
    const end = endOfLine(text, start);
    const place = `line ${line}`;
    next = end + 1;
    line += 1;
    const raw = text.slice(start, end);
    const trimmed = raw.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    count += 1;
    const fault = (rule: string): number => faults.push({ place, code: "ERR_SECRETS_TEXT_INVALID", rule });
    if (count > entriesMax) {
      fault(`the text has more than ${entriesMax} entries`);
      break;
    }
    const equals = raw.indexOf("=");
    if (equals < 0) {
      fault("it has no = after a name");
      continue;
    }
    const value = readValue(text, start + equals + 1, end);
    if ("rule" in value) {
      fault(value.rule);
      if (value.end === undefined) break;
    } else {
      const name = raw
        .slice(0, equals)
        .trim()
        .replace(/^export\s+/, "");
      written.push({ name, value: value.value, place, fields: {} });
    }
    line += linesWithin(text, end, value.end ?? end);
    next = (value.end ?? end) + 1;
  }
  return { written, faults };
}

/** `end` is where the value's last line ends. */
type ReadValue = { value: string; end: number } | { rule: string; end: number | undefined };

function readValue(text: string, from: number, lineEnd: number): ReadValue {
  let at = from;
  while (at < lineEnd && isBlank(text[at])) at += 1;
  const quote = text[at] ?? "";
  if (at < lineEnd && quotes.has(quote)) return readQuoted(text, at, quote);
  const rest = text.slice(from, lineEnd);
  const comment = rest.search(/\s#/);
  return { value: (comment < 0 ? rest : rest.slice(0, comment)).trim(), end: lineEnd };
}

function readQuoted(text: string, at: number, quote: string): ReadValue {
  const close = quote === '"' ? endOfDouble(text, at + 1) : text.indexOf(quote, at + 1);
  if (close < 0) return { rule: "the quote that it opens is not closed; what follows was not read", end: undefined };
  const end = endOfLine(text, close);
  // Without a blank a shell goes on with the value, and others begin a comment or give up.
  if (!/^\s*$|^\s+#/.test(text.slice(close + 1, end)))
    return { rule: 'text follows its closing quote; within double quotes a quote is \\"', end };
  const inner = text.slice(at + 1, close);
  if (quote !== '"') return { value: inner, end };
  // Other backslashes stay, as everywhere.
  return { value: inner.replaceAll(/\\([nrt\\"$`])/g, (_, letter: string) => unescaped[letter] ?? letter), end };
}

function endOfDouble(text: string, from: number): number {
  for (let i = from; i < text.length; i += 1) {
    if (text[i] === "\\") i += 1;
    else if (text[i] === '"') return i;
  }
  return -1;
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf("\n", from);
  return end < 0 ? text.length : end;
}

function linesWithin(text: string, from: number, to: number): number {
  let count = 0;
  for (let at = text.indexOf("\n", from); at >= 0 && at < to; at = text.indexOf("\n", at + 1)) count += 1;
  return count;
}

function isBlank(character: string | undefined): boolean {
  return character !== undefined && character.trim() === "";
}

/** What no reader gives a meaning to, in any place of an unquoted value. */
const plainPattern = /^[A-Za-z0-9_./:@%+,=!*?^{}[\]-]+$/;

/** One assignment, with its line's end. The name is a valid one. */
export function formatEnvLine({ name, value }: { name: string; value: string }): string {
  if (plainPattern.test(value)) return `${name}=${value}\n`;
  // `docker --env-file` knows no quotes and would take each line of a value for an assignment. It refuses a file in which a
  // name holds a blank, so `export` keeps it from reading any quoted value wrongly; the others skip the word.
  return `export ${name}=${quote(value)}\n`;
}

function quote(value: string): string {
  if (!/['\r]/.test(value)) return guarded(`'${value}'`, value);
  if (!/["$`\\\r]/.test(value)) return `"${value}"`;
  // On one line, as Node ends a value at the first quote whatever stands before it: the rest would be lines of their own.
  const escaped = value
    .replaceAll(/["$`\\]/g, String.raw`\$&`)
    .replaceAll("\n", String.raw`\n`)
    .replaceAll("\r", String.raw`\r`);
  return guarded(`"${escaped}"`, value);
}

/**
 * dotenv and Python take a backslash before the closing quote for an escape and read on to the next quote, into later entries.
 * The comment gives them that quote on the same line, in a place where it cannot end a value: dotenv then goes back to the
 * right one, and Python leaves the entry out and warns.
 */
function guarded(text: string, value: string): string {
  return value.endsWith("\\") ? `${text} # ${text[0]} guards the backslash` : text;
}
