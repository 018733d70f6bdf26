/**
 * Binds secret references in JavaScript as data: code keeps its lines and columns, and each reference or string with
 * references becomes an identifier that the caller binds to a value. Values never enter the source. Trades: a string of
 * the directive prologue with a reference is an expression, so directives after it do not count, and a function's own
 * text (`toString`) shows identifiers. Imports protocol only.
 */
import { StepvaultError, type Position } from "../../protocol/error.ts";
import { findReferenceMatches } from "../../protocol/secret.ts";
import { type Replacement, replaceInTemplate, replaceKey, replaceLiteral } from "./javascript-layout.ts";
import { type SyntaxNode, parseJavaScript } from "./javascript-parse.ts";
import { type Frame, roleOf } from "./javascript-role.ts";
import { createLocator } from "./locator.ts";
import {
  type Occurrence,
  spelledPrefixes,
  splitAtPlaceholders,
  substituteReferences,
  type Substitution,
} from "./placeholder.ts";
import { stripTypes } from "./typescript.ts";
import { checkReferenceCount, referencePositionError, requireValue } from "./reference-error.ts";

/** A reference that counts, where the code has it. */
interface CodeReference extends Position {
  readonly name: string;
}

/** An identifier of the bound source and what its value is made of. */
interface Slot {
  readonly identifier: string;
  readonly parts: readonly (string | { readonly secret: string })[];
  /** The code that the identifier stands for, to put back into messages of V8's that quote code. */
  readonly original: string;
}

/** Plain data; holds names and code, no values. */
export interface Analysis {
  /** In order of occurrence, each occurrence listed; references in comments are not references. */
  readonly references: readonly CodeReference[];
  readonly source: string;
  readonly slots: readonly Slot[];
}

export interface Binding {
  readonly identifier: string;
  readonly value: string;
  readonly original: string;
}

export interface BoundJavaScript {
  readonly source: string;
  readonly bindings: readonly Binding[];
}

/**
 * Finds the references of a step's code; of TypeScript, once its types are blanked. Throws ERR_STEP_SYNTAX,
 * ERR_STEP_TYPESCRIPT, ERR_REFERENCE_POSITION or ERR_REFERENCE_COUNT.
 */
export function analyzeJavaScript(code: string, { typescript = false }: { typescript?: boolean } = {}): Analysis {
  // Inside the function that V8 compiles a hashbang is no comment any more.
  const text = code.replace(/^(\uFEFF?)#!/, "$1//");
  const matches = findReferenceMatches(text);
  // Without references V8 judges the code alone, so syntax that acorn does not know yet works.
  const toJavaScript = typescript ? stripTypes : (source: string): string => source;
  if (matches.length === 0) return { references: [], source: toJavaScript(text), slots: [] };
  checkReferenceCount(matches.length);
  let taken: readonly string[] = [];
  for (;;) {
    const substitution = substituteReferences(text, matches, taken);
    const source = toJavaScript(substitution.source);
    const attempt = analyzeWith(text, { ...substitution, source });
    if ("source" in attempt) return attempt;
    taken = [...taken, ...attempt.spelled];
  }
}

/** The source to compile and the values to bind; a reference without a value is ERR_SECRET_UNKNOWN. */
export function bindJavaScript(analysis: Analysis, values: ReadonlyMap<string, string>): BoundJavaScript {
  const bindings = analysis.slots.map(({ identifier, parts, original }) => ({
    identifier,
    value: parts.map((part) => (typeof part === "string" ? part : requireValue(values, part.secret))).join(""),
    original,
  }));
  return { source: analysis.source, bindings };
}

/** One attempt with one prefix; `spelled` when a string of the code turns out to spell a placeholder itself. */
function analyzeWith(code: string, substitution: Substitution): Analysis | { readonly spelled: readonly string[] } {
  const { source, occurrences } = substitution;
  const locate = createLocator(code);
  const { program, comments } = parseJavaScript(source, occurrences, locate);
  const { claims, spelled } = claimOccurrences(program, substitution);
  if (spelled.length > 0) return { spelled };

  const references: CodeReference[] = [];
  const ignored = occurrencesInside(occurrences, comments);
  for (const occurrence of occurrences) {
    if (ignored.has(occurrence.index)) continue;
    const position = locate(occurrence.start);
    if (!claims.has(occurrence.index)) throw referencePositionError(occurrence.name, position);
    references.push({ name: occurrence.name, ...position });
  }
  const replaced = [...new Set(claims.values())].sort((a, b) => a.start - b.start);
  const slots = replaced.map(({ identifier, parts, start, end }) => {
    return { identifier, parts, original: code.slice(start, end) };
  });
  return { references, source: applyReplacements(source, replaced), slots };
}

interface Claim extends Replacement {
  readonly parts: Slot["parts"];
}

/** Which replacement takes care of which occurrence (by index). */
interface Claims {
  readonly claims: Map<number, Claim>;
  readonly spelled: string[];
}

/** Walks the tree with a stack of its own, only into nodes that hold an occurrence. */
function claimOccurrences(program: SyntaxNode, substitution: Substitution): Claims {
  const found: Claims = { claims: new Map(), spelled: [] };
  const stack: Frame[] = [{ node: program, field: "", up: undefined }];
  for (let frame = stack.pop(); frame !== undefined; frame = stack.pop()) {
    const inside = occurrencesWithin(substitution.occurrences, frame.node.start, frame.node.end);
    if (inside.length === 0) continue;
    claimNode(frame, inside, substitution, found);
    for (const [field, value] of Object.entries(frame.node)) {
      for (const child of Array.isArray(value) ? (value as unknown[]) : [value]) {
        if (isNode(child)) stack.push({ node: child, field, up: frame });
      }
    }
  }
  return found;
}

function claimNode(frame: Frame, inside: readonly Occurrence[], substitution: Substitution, found: Claims): void {
  const { node } = frame;
  const [first] = inside;
  if (first === undefined) return;
  if (node.type === "TemplateElement") {
    if (frame.up?.up?.node.type === "TaggedTemplateExpression" && frame.up.field === "quasi") return;
    for (const occurrence of inside) {
      const replacement = replaceInTemplate(substitution.source, frame, occurrence);
      found.claims.set(occurrence.index, { ...replacement, parts: [{ secret: occurrence.name }] });
    }
    return;
  }
  const role = roleOf(frame);
  if (node.type === "Identifier" && role === "expression") {
    if (node.start !== first.start || node.end !== first.end) return;
    const { start, end, identifier, name } = first;
    found.claims.set(first.index, { start, end, text: identifier, identifier, parts: [{ secret: name }] });
  }
  if (node.type === "Literal" && typeof node["value"] === "string" && role !== "none") {
    const parts = splitAtPlaceholders(node["value"], substitution);
    const held = parts.filter((part) => typeof part !== "string");
    // More placeholders in the decoded text than in the code: an escape spells one.
    if (held.length !== inside.length) found.spelled.push(...spelledPrefixes(node["value"]));
    const replace = role === "key" ? replaceKey : replaceLiteral;
    const claim: Claim = {
      ...replace(substitution.source, frame, first),
      parts: parts.map((part) => (typeof part === "string" ? part : { secret: part.name })),
    };
    for (const occurrence of inside) found.claims.set(occurrence.index, claim);
  }
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && "type" in value && "start" in value;
}

/** The occurrences that lie wholly between two offsets. */
function occurrencesWithin(occurrences: readonly Occurrence[], start: number, end: number): readonly Occurrence[] {
  let low = 0;
  let high = occurrences.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((occurrences[middle]?.start ?? Infinity) < start) low = middle + 1;
    else high = middle;
  }
  let last = low;
  while (last < occurrences.length && (occurrences[last]?.end ?? Infinity) <= end) last += 1;
  return occurrences.slice(low, last);
}

function occurrencesInside(
  occurrences: readonly Occurrence[],
  spans: readonly { readonly start: number; readonly end: number }[],
): ReadonlySet<number> {
  return new Set(spans.flatMap(({ start, end }) => occurrencesWithin(occurrences, start, end).map((o) => o.index)));
}

function applyReplacements(code: string, replacements: readonly Replacement[]): string {
  let source = "";
  let copied = 0;
  for (const { start, end, text } of replacements) {
    if (end - start !== text.length) throw new StepvaultError("ERR_INTERNAL", "Cannot bind the step: a length differs");
    source += code.slice(copied, start) + text;
    copied = end;
  }
  return source + code.slice(copied);
}
