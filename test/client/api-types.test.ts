/**
 * The client's types and table of operations. Goal: they are those of the API, today's. Method: the files are compared with
 * what the generator makes, and the generator with small documents.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { apiRoutes } from "../../api/routes.ts";
import { pathOf } from "../../client/operation-path.ts";
import { operations } from "../../client/operations.ts";
import { type Document, generatedFiles, operationsText, typesText } from "../../scripts/client-types.ts";
import { typeOf } from "../../scripts/schema-types.ts";

const files = await generatedFiles();

describe("the client's generated files", () => {
  test.each([...files])("%s is what `npm run client-types` makes", (name, text) => {
    expect(readFileSync(fileURLToPath(new URL(`../../${name}`, import.meta.url)), "utf8")).toBe(text);
  });

  test("have every route with its method, its path and whether and how it may be sent again", () => {
    const expected = apiRoutes.map(({ operationId, method, path, idempotent, repeatable }) => [
      operationId,
      `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}${repeatable === false ? " anew" : idempotent === true ? " once" : ""}`,
    ]);
    const rows = Object.entries(operations).map(([id, row]) => {
      const [method, short = "", ...mark] = row.split(" ");
      return [id, [method, pathOf(short), ...mark].join(" ")];
    });
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(expected));
  });
});

describe("a schema as a type", () => {
  const cases: [string, object, string][] = [
    ["a reference", { $ref: "#/components/schemas/Run" }, "Run"],
    ["constants", { enum: ["a", 1, null] }, '"a" | 1 | null'],
    ["a constant", { const: 'a"b' }, String.raw`"a\"b"`],
    ["several", { anyOf: [{ type: "string" }, { type: "null" }, { type: "string" }] }, "string | null"],
    ["several types", { type: ["string", "integer"] }, "string | number"],
    [
      "a list of several",
      { type: "array", items: { oneOf: [{ type: "string" }, {}] } },
      "readonly (string | unknown)[]",
    ],
    ["anything", { description: "Any JSON" }, "unknown"],
    ["a record", { type: "object", additionalProperties: { type: "number" } }, "Record<string, number>"],
    [
      "an object",
      { type: "object", properties: { a: { type: "string" }, "b-c": { type: "boolean" }, d: {} }, required: ["a"] },
      '{ a: string; "b-c"?: boolean | undefined; d?: unknown; }',
    ],
    ["an object without fields", { type: "object", additionalProperties: false }, "Record<string, never>"],
  ];
  test.each(cases)("%s", (_, schema, type) => {
    expect(typeOf(schema as Parameters<typeof typeOf>[0])).toBe(type);
  });

  test("a record with some of these names has none that must be there, unless the schema says so", () => {
    const schema = { type: "object", propertyNames: { enum: ["a", "b"] }, additionalProperties: { type: "string" } };
    expect(typeOf(schema)).toBe('Partial<Record<"a" | "b", string>>');
    expect(typeOf({ ...schema, required: ["a", "b"] })).toBe('Record<"a" | "b", string>');
  });

  test("is an error where it would not be the whole truth", () => {
    for (const schema of [{ allOf: [] }, { not: {} }, { type: "file" }, { prefixItems: [] }, { $defs: {} }])
      expect(() => typeOf(schema)).toThrow("Cannot write a type");
  });

  test("cannot end a comment early", () => {
    const schema = { type: "object", properties: { a: { type: "string", description: "x */ evil() /*" } } };
    expect(typeOf(schema)).not.toContain("*/ evil");
  });
});

describe("operations as types", () => {
  const documentOf = (path: string, operation: object): Document =>
    ({
      paths: { [path]: { get: { operationId: "getIt", summary: "It", ...operation } } },
      components: { schemas: {} },
    }) as unknown as Document;
  const responses = { 200: { content: { "application/json": { schema: { type: "string" } } } }, 204: {}, default: {} };
  const inPath = (name: string): object => ({ name, in: "path", required: true, schema: { type: "string" } });

  test("have path, query, body and every good answer", () => {
    const query = { name: "wait", in: "query", required: false, schema: { type: "integer" } };
    const requestBody = { content: { "application/json": { schema: { type: "number" } } } };
    const text = typesText(documentOf("/v1/x/{id}", { parameters: [inPath("id"), query], requestBody, responses }));
    expect(text).toContain(
      "getIt: { path: { id: string; }; query: { wait?: number | undefined; }; body: number; answer: string | undefined; };",
    );
  });

  test("tell a stream from an answer", () => {
    const stream = { 200: { content: { "text/event-stream": { schema: { type: "string" } } } } };
    expect(typesText(documentOf("/v1/x", { responses: stream }))).toContain("getIt: { stream: string; };");
  });

  test("refuse a path whose names could not be told from query and body, or could not be written in short", () => {
    for (const name of ["query", "body", "signal"])
      expect(() => typesText(documentOf(`/v1/{${name}}`, { parameters: [inPath(name)], responses }))).toThrow(
        "Cannot write",
      );
    expect(() => operationsText(documentOf("/v2/x", { responses }))).toThrow("Cannot write the path /v2/x");
  });
});
