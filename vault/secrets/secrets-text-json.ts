/**
 * Secrets as a JSON object of names to values, or to objects of a value and what else is known of the secret. JSON.parse says
 * nothing of a key that stands twice and keeps the last, so the keys are read from the text as well; it comes first, and what
 * reads keys may rely on valid JSON. Knows no rule of names, values and policies.
 */
import type { SecretsFault, WrittenEntry, WrittenText } from "./secrets-text-faults.ts";

/** An entry nests less than this; more is an attack on whatever recurses over it. */
const depthMax = 16;

export function readJsonText(text: string, entriesMax: number): WrittenText {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    // The parser's message quotes the text.
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    return faulty("text", "it is not a JSON object");
  const { names, repeating, depth } = readKeys(text);
  if (depth > depthMax) return faulty("text", `it is nested ${depth} deep; ${depthMax} are allowed`);
  if (names.length > entriesMax) return faulty("text", `it has ${names.length} entries; ${entriesMax} are allowed`);
  const values = new Map<string, unknown>(Object.entries(parsed));
  const written: WrittenEntry[] = [];
  const faults: SecretsFault[] = [];
  for (const [i, name] of names.entries()) {
    const place = `entry ${i + 1}`;
    const entry = values.get(name);
    const { value, ...fields } = typeof entry === "string" ? { value: entry } : ((entry ?? {}) as { value?: unknown });
    if (repeating.has(i))
      faults.push({ place, code: "ERR_SECRETS_TEXT_INVALID", rule: "one of its keys stands twice" });
    if (typeof value === "string") written.push({ name, value, place, fields });
    else
      faults.push({
        place,
        code: "ERR_SECRET_VALUE_INVALID",
        rule: "it is neither a string nor an object whose value is one",
      });
  }
  return { written, faults };
}

function faulty(place: string, rule: string): WrittenText {
  return { written: [], faults: [{ place, code: "ERR_SECRETS_TEXT_INVALID", rule }] };
}

interface Keys {
  /** Those of the outermost object, in the order of the text, which that of JSON.parse need not be. */
  names: string[];
  /** The entries within which an object has a key twice, by number from 0. */
  repeating: Set<number>;
  depth: number;
}

/** `text` is valid JSON, an object. Stops where it is nested too deeply. */
function readKeys(text: string): Keys {
  const keys: Keys = { names: [], repeating: new Set(), depth: 0 };
  const open: Set<string>[] = [];
  for (let i = 0; i < text.length; i += 1) {
    const character = text[i];
    if (character === "{" || character === "[") open.push(new Set());
    if (character === "}" || character === "]") open.pop();
    keys.depth = Math.max(keys.depth, open.length);
    if (keys.depth > depthMax) break;
    if (character !== '"') continue;
    const end = endOfString(text, i);
    if (isKey(text, end)) note(keys, open, JSON.parse(text.slice(i, end)) as string);
    i = end - 1;
  }
  return keys;
}

function note(keys: Keys, open: readonly Set<string>[], key: string): void {
  const siblings = open.at(-1);
  // A name that stands twice is told with the rules of names.
  if (open.length === 1) keys.names.push(key);
  else if (siblings?.has(key)) keys.repeating.add(keys.names.length - 1);
  siblings?.add(key);
}

/** After the closing quote of the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length && text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}

/** A string in an object is a key exactly when a colon follows. */
function isKey(text: string, end: number): boolean {
  let i = end;
  while (" \t\r\n".includes(text[i] ?? ":")) i += 1;
  return text[i] === ":";
}

/** Each entry is its value alone, or an object when there is more to it. */
export function formatJsonText(entries: readonly WrittenEntry[]): string {
  const pairs = entries.map(({ name, value, fields }): [string, unknown] => [
    name,
    Object.values(fields).every((field) => field === undefined) ? value : { value, ...fields },
  ]);
  return `${JSON.stringify(Object.fromEntries(pairs), undefined, 2)}\n`;
}
