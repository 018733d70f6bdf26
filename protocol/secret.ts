/**
 * A secret's name, its value as something that does not print, and the syntax of a reference to it.
 * Everything that carries a value between vault, runtime and redaction carries a SecretValue, so that a stray log or
 * template string shows the name only; `expose()` is the one way out and is easy to search for. Imports nothing of ours
 * beyond this folder.
 */
import { inspect } from "node:util";
import { z } from "zod";
import { readablePolicy, type SecretPolicy } from "./secret-policy.ts";

const secretNamePattern = "[A-Za-z_][A-Za-z0-9_]{0,127}";

export const secretNameSchema = z
  .string()
  .regex(new RegExp(`^${secretNamePattern}$`), "a letter or underscore, then letters, digits, underscores; at most 128")
  .brand<"SecretName">();
export type SecretName = z.infer<typeof secretNameSchema>;

/** Largest secret value, UTF-8 bytes. */
export const secretValueBytesMax = 65_536;

/** A secret's value, with what may be done with it. Prints, serializes and concatenates as `[secret NAME]`. */
export class SecretValue {
  readonly name: string;
  readonly policy: SecretPolicy;
  /** Which version of the vault's it is; undefined for one that is from elsewhere. */
  readonly version: number | undefined;
  readonly #value: string;

  constructor(name: string, value: string, policy: SecretPolicy = readablePolicy, version?: number) {
    this.name = name;
    this.policy = policy;
    this.version = version;
    this.#value = value;
  }

  /** The value itself. Call it as late as possible, and never for a log, an error or a URL. */
  expose(): string {
    return this.#value;
  }

  toString(): string {
    return `[secret ${this.name}]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/** One textual occurrence of a reference: UTF-16 offsets into the text, `end` exclusive. */
export interface ReferenceMatch {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

const referencePattern = `<<[ \\t]*secrets\\.(${secretNamePattern})[ \\t]*>>|\\{\\{[ \\t]*secrets\\.(${secretNamePattern})[ \\t]*\\}\\}`;

/** Every `<<secrets.NAME>>` and `{{secrets.NAME}}` in a text, in order. Purely textual: says nothing about comments. */
export function findReferenceMatches(text: string): ReferenceMatch[] {
  const matches: ReferenceMatch[] = [];
  for (const match of text.matchAll(new RegExp(referencePattern, "g"))) {
    const name = match[1] ?? match[2];
    if (name === undefined) continue;
    matches.push({ name, start: match.index, end: match.index + match[0].length });
  }
  return matches;
}
