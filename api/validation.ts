/**
 * Validates the parts of a request with zod and says what is wrong by pointer and rule. Neither a value nor a name that is
 * not in the schema is repeated: callers paste keys into the wrong field.
 */
import { z } from "zod";
import { type Mismatch, Refusal } from "./refusal.ts";

export type RequestPart = "path" | "query" | "headers" | "body";

const mismatchesMax = 100;

/** A function that gives what the schema makes of a value. It throws ERR_REQUEST_INVALID. */
export function validatorOf<Schema extends z.ZodType>(
  schema: Schema,
  part: RequestPart,
): (value: unknown) => z.output<Schema> {
  const names = namesIn(schema);
  return (value) => {
    if (part !== "body") requireText(value, part);
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw mismatch(told(parsed.error.issues, part, names));
  };
}

/** What zod found wrong, by pointer and rule. */
export function mismatchesOf(issues: readonly z.core.$ZodIssue[], part: string, schema: z.ZodType): Mismatch[] {
  return told(issues, part, namesIn(schema));
}

function told(issues: readonly z.core.$ZodIssue[], part: string, names: ReadonlySet<string>): Mismatch[] {
  return issues
    .slice(0, mismatchesMax)
    .map((issue) => ({ pointer: pointerOf(part, issue.path, names), detail: ruleOf(issue) }));
}

export function mismatch(errors: readonly Mismatch[]): Refusal {
  const count = errors.length === 1 ? "1 place does" : `${errors.length} places do`;
  return new Refusal("ERR_REQUEST_INVALID", `Cannot accept the request: ${count} not match the schema`, { errors });
}

/** Ids, names and cursors are kept in PostgreSQL, which takes neither NUL nor halves of characters. */
function requireText(value: unknown, part: RequestPart): void {
  const texts = Object.values((value ?? {}) as Record<string, unknown>).flat();
  if (texts.every((text) => typeof text !== "string" || (text.isWellFormed() && !text.includes("\0")))) return;
  throw mismatch([{ pointer: `/${part}`, detail: "must be Unicode text without NUL" }]);
}

/** Up to the first name that only the caller knows. */
function pointerOf(part: string, path: readonly PropertyKey[], names: ReadonlySet<string>): string {
  const end = path.findIndex((step) => typeof step !== "number" && !names.has(String(step)));
  const steps = [part, ...(end === -1 ? path : path.slice(0, end))].map(String);
  return steps.map((step) => `/${step.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function ruleOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return `must be ${issue.expected}`;
    case "too_small":
      return `must be ${issue.inclusive === false ? "more than" : "at least"} ${String(issue.minimum)}${unitOf(issue.origin)}`;
    case "too_big":
      return `must be ${issue.inclusive === false ? "less than" : "at most"} ${String(issue.maximum)}${unitOf(issue.origin)}`;
    case "not_multiple_of":
      return `must be a multiple of ${issue.divisor}`;
    case "invalid_value":
      return `must be one of ${issue.values.map(String).join(", ")}`;
    case "unrecognized_keys":
      return `has ${issue.keys.length} field(s) that the schema does not know`;
    case "invalid_format":
      return `must be of the format ${issue.format}`;
    case "invalid_key":
      return "has a name that is not allowed";
    case "invalid_union":
      return "must be one of the forms that the schema has";
    case "custom":
      // Texts of refinements in protocol/: rules, without what was given.
      return `must be ${issue.message}`;
    default:
      return "does not match the schema";
  }
}

function unitOf(origin: string): string {
  if (origin === "string") return " characters";
  return origin === "array" || origin === "set" ? " entries" : "";
}

/** Every name of a field that a schema has anywhere. */
function namesIn(schema: z.ZodType): Set<string> {
  const names = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, entry] of Object.entries(value)) {
      if (key === "properties") for (const name of Object.keys(entry as object)) names.add(name);
      visit(entry);
    }
  };
  visit(z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }));
  return names;
}
