/**
 * Names of the schemas in the OpenAPI document. The generator makes each named schema twice, as given and as answered, under
 * names that could meet those of others; here they are made apart first, and get their own name back where one of them is
 * used, or where both are the same.
 */
import type { OpenAPIV3_1 } from "openapi-types";
import { z } from "zod";

const prefix = "#/components/schemas/";
const mark = "~";
/** What the generator puts behind the name of a schema as it is given. */
const givenMark = `${mark}Input`;

class FallbackMap extends WeakMap<z.core.$ZodType, object> {
  override get(schema: z.core.$ZodType): object | undefined {
    return super.get(schema) ?? z.globalRegistry._map.get(schema);
  }
}

/** All schemas that have an id, under ids that `plainNames` takes apart again. */
export function markedSchemas(): z.core.$ZodRegistry<{ id?: string | undefined }> {
  const registry = z.registry<{ id?: string | undefined }>();
  registry._map = new FallbackMap();
  for (const [id, schema] of z.globalRegistry._idmap) {
    registry.add(schema, { ...z.globalRegistry._map.get(schema), id: `${id}${mark}` });
  }
  return registry;
}

/** The document with its schemas' own names, and without those that nothing refers to. */
export function plainNames(document: OpenAPIV3_1.Document): OpenAPIV3_1.Document {
  const schemas = document.components?.schemas ?? {};
  const used = usedIn(document.paths, schemas);
  const names = new Map<string, string>();
  for (const name of used) {
    const own = name.replace(givenMark, "").replace(mark, "");
    const answered = `${own}${mark}`;
    const differs = name !== answered && used.has(answered) && !same(schemas[name], schemas[answered]);
    names.set(name, differs ? `${own}AsGiven` : own);
  }
  const kept = [...used].map((name) => [names.get(name)!, schemas[name]] as const).sort(([a], [b]) => (a < b ? -1 : 1));
  const whole = { ...document, components: { ...document.components, schemas: Object.fromEntries(kept) } };
  return JSON.parse(JSON.stringify(whole), (key, value: unknown) => {
    // A schema without a name that refers to itself, as that of any JSON has: the generator leaves out what it refers to.
    if (isNameless((value as { $ref?: unknown } | null)?.$ref)) return {};
    if (key !== "$ref" || typeof value !== "string") return value;
    return prefix + (names.get(value.slice(prefix.length)) ?? value.slice(prefix.length));
  }) as OpenAPIV3_1.Document;
}

function same(a: unknown, b: unknown): boolean {
  const plain = (value: unknown): string => JSON.stringify(value).replaceAll(givenMark, mark);
  return plain(a) === plain(b);
}

function usedIn(start: unknown, schemas: Readonly<Record<string, unknown>>): Set<string> {
  const used = new Set<string>();
  const visit = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, entry] of Object.entries(value)) {
      const name = key === "$ref" ? String(entry).slice(prefix.length) : undefined;
      if (name === undefined) visit(entry);
      else if (isNameless(entry)) continue;
      else if (!used.has(name)) {
        used.add(name);
        visit(schemas[name]);
      }
    }
  };
  visit(start);
  return used;
}

function isNameless(reference: unknown): boolean {
  return typeof reference === "string" && reference.startsWith(`${prefix}__shared`);
}
