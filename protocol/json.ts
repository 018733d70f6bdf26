/**
 * JSON as a part of something else: what a step is given. Its check costs about as much as reading the text did, where
 * `z.json()` would take ten times as long, and whoever may send megabytes of brackets would hold up everybody. Imports
 * nothing of ours.
 */
import { z } from "zod";

/** A JSON value, as `JSON.parse` gives it. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Everything that walks a value later can walk this deep. The body of a request is bounded further. */
const depthMax = 2_000;

/** Gives the value itself, no copy. Throws a RangeError for one that is nested too deeply. */
export const jsonSchema = z.unknown().superRefine(requireJson) as unknown as z.ZodType<Json>;

/** The same of an object. */
export const jsonObjectSchema = z
  .unknown()
  .superRefine((value, context) => {
    if (isPlainObject(value)) requireJson(value, context);
    else context.addIssue({ code: "custom", message: "an object of JSON" });
  })
  // As `z.record(z.string(), …)` is described.
  .meta({ type: "object", propertyNames: { type: "string" }, additionalProperties: {} }) as unknown as z.ZodType<
  Record<string, Json>
>;

function requireJson(value: unknown, context: z.RefinementCtx): void {
  const path = findOther(value, 0);
  if (path !== undefined) context.addIssue({ code: "custom", path, message: "JSON" });
}

/** Where the first thing is that is no JSON. */
function findOther(value: unknown, depth: number): PropertyKey[] | undefined {
  if (typeof value === "string" || typeof value === "boolean" || value === null) return undefined;
  if (typeof value === "number") return Number.isFinite(value) ? undefined : [];
  if (typeof value !== "object") return [];
  if (depth === depthMax) throw new RangeError("the JSON is nested too deeply");
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const path = findOther(value[index], depth + 1);
      if (path !== undefined) return [index, ...path];
    }
    return undefined;
  }
  if (!isPlainObject(value) || Object.getOwnPropertySymbols(value).length > 0) return [];
  for (const key of Object.keys(value)) {
    // Copying a field of this name sets a prototype.
    const path = key === "__proto__" ? [] : findOther(value[key], depth + 1);
    if (path !== undefined) return [key, ...path];
  }
  return undefined;
}

/** Also one of another realm. What inherits anything else would lose it as JSON. */
export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}
