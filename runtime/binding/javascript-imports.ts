/**
 * Imports of a step, which V8 does not know inside a function: static ones at the top of the code are blanked and their
 * names bound from outside, as secrets are; `import(…)` becomes a call of a function of the same length. Lines and
 * columns stay. Static imports anywhere else are left for V8 to refuse.
 */
import { type Position, StepvaultError } from "../../protocol/error.ts";
import { parseJavaScript, type SyntaxNode } from "./javascript-parse.ts";
import { createLocator } from "./locator.ts";

/** One name that the step uses, and what of which package it is. */
export interface ImportedName {
  readonly local: string;
  /** An export's name, `default`, or `*` for all of them. */
  readonly name: string;
}

export interface StaticImport extends Position {
  readonly package: string;
  readonly names: readonly ImportedName[];
}

const between = /(?:\s|;|\/\/[^\n]*|\/\*[\s\S]*?\*\/|(["'])use strict\1)*/y;
const word = "[\\p{L}\\p{N}_$]+";
const importClause = new RegExp(
  `import\\b\\s*(?:(type)\\s+(?!from\\b|,))?(?:(${word})\\s*,?\\s*)?(?:\\*\\s*as\\s+(${word})|(\\{[^{}]*\\}))?\\s*(from\\b)?\\s*(["'])([^"'\\\\\\n<{]+)\\6`,
  "uy",
);
const namedImport = new RegExp(`^(?:(type)\\s+(?!as\\b|$))?(${word})(?:\\s+as\\s+(${word}))?$`, "u");

/** The code with the imports at its top blanked, and what they import. Imports of types alone are nothing at run time. */
export function takeImports(code: string): { source: string; imports: StaticImport[] } {
  const imports: StaticImport[] = [];
  const locate = createLocator(code);
  let source = code;
  let at = skip(code, 0);
  for (;;) {
    importClause.lastIndex = at;
    const match = importClause.exec(code);
    if (match === null) return { source, imports };
    const [whole, typeOnly, byDefault, all, named, from, , specifier = ""] = match;
    const names = namesOf({ byDefault, all, named });
    // `import x "m"` and the like are no imports; V8 says so.
    if (names === undefined || (from === undefined) !== (names.length === 0 && named === undefined))
      return { source, imports };
    if (typeOnly === undefined) imports.push({ package: specifier, names, ...locate(at) });
    const end = at + whole.length;
    source = source.slice(0, at) + whole.replaceAll(/[^\n\r\u2028\u2029]/g, " ") + source.slice(end);
    at = skip(code, end);
  }
}

function skip(code: string, from: number): number {
  between.lastIndex = from;
  between.exec(code);
  return between.lastIndex;
}

interface Clause {
  byDefault: string | undefined;
  all: string | undefined;
  named: string | undefined;
}

function namesOf({ byDefault, all, named }: Clause): ImportedName[] | undefined {
  const names: ImportedName[] = [];
  if (byDefault !== undefined) names.push({ local: byDefault, name: "default" });
  if (all !== undefined) names.push({ local: all, name: "*" });
  const parts = (named ?? "{}")
    .slice(1, -1)
    .split(",")
    .map((part) => part.trim());
  for (const part of parts.filter((text) => text !== "")) {
    const [whole, typeOnly, name = "", local = name] = namedImport.exec(part) ?? [];
    if (whole === undefined) return undefined;
    if (typeOnly === undefined) names.push({ local, name });
  }
  return names;
}

/** The source with every `import(…)` a call of `identifier`, which is undefined when there is none. */
export function replaceDynamicImports(source: string): { source: string; identifier?: string } {
  if (!/\bimport\s*\(/.test(source)) return { source };
  const places = findDynamicImports(source);
  if (places.length === 0) return { source };
  const identifier = freeIdentifier(source);
  let replaced = "";
  let copied = 0;
  for (const place of places) {
    replaced += source.slice(copied, place) + identifier;
    copied = place + identifier.length;
  }
  return { source: replaced + source.slice(copied), identifier };
}

function findDynamicImports(source: string): number[] {
  const places: number[] = [];
  const stack: unknown[] = [programOf(source)];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (Array.isArray(node)) stack.push(...(node as unknown[]).filter((item) => item !== undefined));
    if (typeof node !== "object" || node === null || !("type" in node)) continue;
    const { type, start, ...fields } = node as SyntaxNode;
    if (type === "ImportExpression" && fields["phase"] == null) places.push(start);
    stack.push(...Object.values(fields).filter((field) => typeof field === "object" && field !== null));
  }
  return places.sort((a, b) => a - b);
}

/** The tree; undefined where acorn cannot read what V8 perhaps can: then `import(…)` fails when it is met. */
function programOf(source: string): SyntaxNode | undefined {
  try {
    return parseJavaScript(source, [], createLocator(source)).program;
  } catch (error) {
    if (error instanceof StepvaultError) return undefined;
    throw error;
  }
}

/** An identifier as long as the word `import` that the code does not hold. */
function freeIdentifier(source: string): string {
  for (let nonce = 0; ; nonce += 1) {
    const identifier = `_i${nonce.toString(36).padStart(4, "0")}`;
    if (!source.includes(identifier)) return identifier;
  }
}
