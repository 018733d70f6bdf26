/**
 * Renders the builder's inputs: every string of the JSON tree is a Mustache template whose only tag is a secret
 * reference. Done by hand and not with a Mustache library, so that what no reference is stays byte for byte, nothing is
 * escaped, and no tag can be a section, a partial or a call. Values are data: they are not rendered again. Keys are not
 * templates. Imports protocol only.
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { Json } from "../../protocol/job.ts";
import { findReferenceMatches } from "../../protocol/secret.ts";
import { checkReferenceCount, requireValue } from "./reference-error.ts";

/** A reference and the place of its string, like `inputs.headers["x-key"][0]`. */
export interface InputReference {
  readonly name: string;
  readonly path: string;
}

const depthMax = 1_000;

// Tags of Mustache's that name secrets, or that would change what a tag is. Left as text, they would look rendered.
const unsupportedTag = new RegExp(
  [
    String.raw`<<\s*[#^/>&!{]\s*secrets\b[^<>\n]*>>`,
    String.raw`\{\{\s*[#^/>&!]\s*secrets\b[^{}\n]*\}\}`,
    String.raw`(?:<<|\{\{)=\s*[^\s=]{1,10}\s+[^\s=]{1,10}\s*=(?:>>|\}\})`,
  ].join("|"),
);

/** Every reference of the inputs, in order; throws ERR_INPUTS_TEMPLATE or ERR_REFERENCE_COUNT. */
export function inputReferences(inputs: Readonly<Record<string, Json>>): InputReference[] {
  const references: InputReference[] = [];
  mapStrings(inputs, "inputs", 0, (text, path) => {
    const tag = unsupportedTag.exec(text);
    if (tag !== null) throw templateError(path, `it uses a tag, at character ${tag.index + 1}, that is no reference`);
    for (const { name } of findReferenceMatches(text)) references.push({ name, path });
    return text;
  });
  checkReferenceCount(references.length);
  return references;
}

/** A copy of the inputs with every reference replaced; one without a value is ERR_SECRET_UNKNOWN. */
export function renderInputs(
  inputs: Readonly<Record<string, Json>>,
  values: ReadonlyMap<string, string>,
): Record<string, Json> {
  inputReferences(inputs);
  return mapStrings(inputs, "inputs", 0, (text) => renderText(text, values)) as Record<string, Json>;
}

function renderText(text: string, values: ReadonlyMap<string, string>): string {
  let rendered = "";
  let copied = 0;
  for (const { name, start, end } of findReferenceMatches(text)) {
    rendered += text.slice(copied, start) + requireValue(values, name);
    copied = end;
  }
  return rendered + text.slice(copied);
}

function mapStrings(value: Json, path: string, depth: number, map: (text: string, path: string) => string): Json {
  if (typeof value === "string") return map(value, path);
  if (typeof value !== "object" || value === null) return value;
  if (depth === depthMax) throw templateError("inputs", `they are nested deeper than ${depthMax} levels`);
  if (Array.isArray(value)) return value.map((item, index) => mapStrings(item, `${path}[${index}]`, depth + 1, map));
  // From entries, a key named `__proto__` is an own key like any other.
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, mapStrings(item, path + pathStep(key), depth + 1, map)]),
  );
}

function pathStep(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
}

function templateError(path: string, state: string): StepvaultError {
  return new StepvaultError("ERR_INPUTS_TEMPLATE", `Cannot render ${path}: ${state}`);
}
