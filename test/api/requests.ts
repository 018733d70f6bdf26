/**
 * Requests at random from an OpenAPI document, as fast-check's arbitraries: mostly of the right shape, so that they reach the
 * vault, with ids that exist; and every now and then with a part that is wrong in a way that breaks servers.
 */
import fc from "fast-check";
import type { OpenAPIV3_1 } from "openapi-types";
import type { DocumentedOperation, Schema } from "./operations.ts";

export interface RandomRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: Record<string, string>;
  readonly body: string | Uint8Array<ArrayBuffer> | undefined;
}

/** Values that exist, by the name of a field or parameter: `projectId` → ids of projects. */
export type KnownValues = Readonly<Record<string, readonly string[]>>;

export const nastyTexts = [
  "",
  "\0",
  "\ud800",
  "a\0b",
  "'; drop table runs; --",
  "%00",
  "../..",
  "🎈".repeat(300),
  "x".repeat(5_000),
  "null",
];
const nastyValues = [
  null,
  true,
  0,
  -1,
  1e308,
  2 ** 53,
  Number.MIN_VALUE,
  [],
  {},
  [[]],
  { __proto__x: 1 },
  ...nastyTexts,
];

const nasty: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom(...nastyValues),
  fc.string({ unit: "binary", maxLength: 50 }),
  fc.jsonValue({ maxDepth: 4 }),
);

/** A value of a schema, or now and then any other. */
export function valueOf(
  document: OpenAPIV3_1.Document,
  schema: Schema,
  known: KnownValues,
  name = "",
): fc.Arbitrary<unknown> {
  const right = rightValue(document, schema, known, name);
  return fc.oneof({ weight: 30, arbitrary: right }, { weight: 1, arbitrary: nasty });
}

function rightValue(
  document: OpenAPIV3_1.Document,
  schema: Schema,
  known: KnownValues,
  name: string,
): fc.Arbitrary<unknown> {
  const { $ref, type, properties = {}, required = [], items, anyOf, oneOf, allOf } = schema;
  if (typeof $ref === "string") {
    const target = document.components?.schemas?.[$ref.replace("#/components/schemas/", "")];
    return fc.constant(null).chain(() => rightValue(document, (target ?? {}) as Schema, known, name));
  }
  if (known[name] !== undefined) return fc.constantFrom(...known[name]);
  if ("const" in schema) return fc.constant(schema["const"]);
  if (Array.isArray(schema["enum"])) return fc.constantFrom(...(schema["enum"] as unknown[]));
  const choices = (anyOf ?? oneOf ?? allOf) as Schema[] | undefined;
  if (choices !== undefined) return fc.oneof(...choices.map((choice) => rightValue(document, choice, known, name)));
  if (type === "object") {
    const fields = Object.entries(properties as Record<string, Schema>);
    const model = Object.fromEntries(fields.map(([key, field]) => [key, valueOf(document, field, known, key)]));
    const exact = fc.record(model, { requiredKeys: required as never[] });
    if (schema["additionalProperties"] === false) return exact;
    return fc
      .tuple(exact, fc.dictionary(fc.string({ maxLength: 10 }), nasty, { maxKeys: 2 }))
      .map(([a, b]) => ({ ...b, ...a }));
  }
  if (type === "array") return fc.array(valueOf(document, (items ?? {}) as Schema, known), { maxLength: 4 });
  if (type === "integer" || type === "number") {
    const { minimum = 0, maximum = 1_000 } = schema as { minimum?: number; maximum?: number };
    return fc.integer({ min: Math.max(minimum, -1e9), max: Math.min(maximum, 1e9) });
  }
  if (type === "boolean") return fc.boolean();
  if (type === "null") return fc.constant(null);
  if (type === "string") return textOf(schema);
  return nasty;
}

function textOf({
  format,
  minLength = 0,
  maxLength = 40,
}: Schema & { minLength?: number; maxLength?: number }): fc.Arbitrary<string> {
  if (format === "uuid") return fc.uuid();
  if (format === "date-time") return fc.date({ noInvalidDate: true }).map((date) => date.toISOString());
  if (format === "uri") return fc.webUrl();
  return fc.string({ unit: "grapheme", minLength: Math.min(minLength, 40), maxLength: Math.min(maxLength, 60) });
}

const principals = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom("operator", "person ann", "person eve") },
  { weight: 1, arbitrary: fc.constantFrom("", "Bearer", "Bearer x", "a:b:c", "operator\u00ff", "x".repeat(9_000)) },
);

const oddHeaders: fc.Arbitrary<Record<string, string>> = fc.oneof(
  { weight: 10, arbitrary: fc.constant({}) },
  {
    weight: 1,
    arbitrary: fc.constantFrom<Record<string, string>>(
      { "content-type": "text/plain" },
      { "content-type": "application/json; charset=utf-16" },
      { "content-type": "multipart/form-data; boundary=x" },
      { "content-type": ";;;" },
      { "content-encoding": "br" },
      { "transfer-encoding": "gzip" },
      { accept: "image/png" },
      { "if-match": "x" },
      { "if-none-match": '"1", *' },
      { "idempotency-key": "\u00e9 \t" },
      { "last-event-id": "-1" },
      { "x-request-id": "ü" },
      { "x-http-method-override": "DELETE" },
      { range: "bytes=0-1" },
      { cookie: "stepvault=\u00ff; __Host-stepvault=x" },
      { expect: "100-continue" },
      { upgrade: "websocket", connection: "upgrade" },
    ),
  },
);

/** A request to an operation. */
export function requestTo(
  document: OpenAPIV3_1.Document,
  { method, path, operation }: DocumentedOperation,
  known: KnownValues,
): fc.Arbitrary<RandomRequest> {
  const parameters = (where: string): fc.Arbitrary<Record<string, unknown>> => {
    const listed = operation.parameters.filter((parameter) => parameter.in === where);
    const model = Object.fromEntries(listed.map(({ name, schema }) => [name, valueOf(document, schema, known, name)]));
    return where === "path" ? fc.record(model) : fc.record(model, { requiredKeys: [] });
  };
  const schema = operation.requestBody?.content["application/json"]?.schema;
  const body = schema === undefined ? fc.constant(undefined) : bodyOf(valueOf(document, schema, known));
  const stray = fc.oneof(
    { weight: 15, arbitrary: fc.constant("") },
    {
      weight: 1,
      arbitrary: fc.constantFrom("x=1", "limit=a&limit=b", "%", "a=%ff", "limit[]=1", "__proto__=1", "limit=1&limit"),
    },
  );
  return fc
    .record({ params: parameters("path"), query: parameters("query"), body, stray, as: principals, odd: oddHeaders })
    .map(({ params, query, body, stray, as, odd }) => {
      const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => encode(params[name]));
      const pairs = Object.entries(query).map(([name, value]) => `${name}=${encode(value)}`);
      const search = [...pairs, stray].filter((text) => text !== "").join("&");
      return {
        method,
        path: search === "" ? filled : `${filled}?${search}`,
        headers: { ...(as === "" ? {} : { authorization: as }), "content-type": "application/json", ...odd },
        body,
      };
    });
}

function bodyOf(value: fc.Arbitrary<unknown>): fc.Arbitrary<string | Uint8Array<ArrayBuffer> | undefined> {
  const text = value.map((entry) => JSON.stringify(entry) as string | undefined);
  return fc.oneof(
    { weight: 20, arbitrary: text },
    { weight: 1, arbitrary: text.map((whole = "") => whole.slice(0, -1)) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        "",
        "null",
        "[]",
        '"\\ud800"',
        "[".repeat(50_000),
        '{"a":'.repeat(300),
        "NaN",
        "\ufeff{}",
      ),
    },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 100 }).map((bytes) => new Uint8Array(bytes)) },
  );
}

/** As UTF-8; halves of characters too, which encodeURIComponent refuses. */
function encode(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "undefined");
  return [...Buffer.from(text, "utf8")]
    .map((byte) =>
      /[\w.-]/.test(String.fromCharCode(byte)) ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`,
    )
    .join("");
}
