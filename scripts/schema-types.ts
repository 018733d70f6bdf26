/**
 * A JSON Schema of 2020-12 as a TypeScript type, as far as the OpenAPI document has such. What a type cannot say, as bounds
 * and patterns, is left out; a keyword that changes the type and is not known here is an error.
 */
export interface Schema {
  readonly description?: string | undefined;
  readonly [keyword: string]: unknown;
}

type Properties = Readonly<Record<string, Schema>>;

const simple: Readonly<Record<string, string>> = {
  string: "string",
  number: "number",
  integer: "number",
  boolean: "boolean",
  null: "null",
};

const known = new Set([
  ..."type enum const anyOf oneOf $ref properties required additionalProperties propertyNames items".split(" "),
  ..."description default examples format pattern minLength maxLength minItems maxItems title".split(" "),
  ..."minimum maximum exclusiveMinimum exclusiveMaximum multipleOf".split(" "),
]);

/** Throws for a schema that has something which it does not know. */
export function typeOf(schema: Schema): string {
  const unknown = Object.keys(schema).filter((keyword) => !known.has(keyword));
  if (unknown.length > 0) throw new Error(`Cannot write a type: the schema has ${unknown.join(", ")}`);
  if (typeof schema["$ref"] === "string") return schema["$ref"].replace("#/components/schemas/", "");
  if ("const" in schema) return JSON.stringify(schema["const"]);
  if (Array.isArray(schema["enum"])) return union(schema["enum"].map((value) => JSON.stringify(value)));
  const branches = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(branches)) return union(branches.map((branch) => typeOf(branch as Schema)));
  const { type } = schema;
  if (type === undefined) return "unknown";
  if (Array.isArray(type)) return union(type.map((one) => typeOf({ ...schema, type: one as string })));
  if (type === "array") return `readonly (${typeOf((schema["items"] ?? {}) as Schema)})[]`;
  if (type === "object") return objectType(schema);
  const name = typeof type === "string" ? simple[type] : undefined;
  if (name === undefined) throw new Error(`Cannot write a type: the schema has the type ${JSON.stringify(type)}`);
  return name;
}

function objectType(schema: Schema): string {
  const { properties = {}, required = [] } = schema as { properties?: Properties; required?: readonly string[] };
  const rest = schema["additionalProperties"];
  const fields = Object.entries(properties).map(([name, property]) => {
    const key = /^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name);
    const type = typeOf(property);
    const comment =
      property.description === undefined ? "" : `\n/** ${property.description.replaceAll("*/", "*\\/")} */\n`;
    const optional = !required.includes(name);
    return `${comment}${key}${optional ? "?" : ""}: ${type}${optional && type !== "unknown" ? " | undefined" : ""};`;
  });
  if (fields.length > 0) return `{ ${fields.join(" ")} }`;
  if (typeof rest !== "object" || rest === null)
    return rest === false ? "Record<string, never>" : "Record<string, unknown>";
  const names = (schema["propertyNames"] ?? {}) as Schema;
  const record = `Record<${"enum" in names ? typeOf(names) : "string"}, ${typeOf(rest as Schema)}>`;
  return "enum" in names && required.length === 0 ? `Partial<${record}>` : record;
}

function union(types: readonly string[]): string {
  return [...new Set(types)].join(" | ");
}
