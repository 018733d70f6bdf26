/**
 * `npm run client-types`: writes client/api-types.ts and client/operations.ts from the OpenAPI document, so that the client
 * library knows the routes and their types without importing anything of ours. test/client/api-types.test.ts fails when a file
 * is not what this makes. Writes the types of JSON Schema that the document has, and throws for what it does not know.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { format } from "oxfmt";
import { openApiDocument } from "../api/openapi.ts";
import { pathOf } from "../client/operation-path.ts";
import { type Schema, typeOf } from "./schema-types.ts";

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Schema;
}

type Content = Readonly<Record<string, { readonly schema: Schema }>>;

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
  readonly "x-not-repeatable"?: true;
}

export interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

const generated =
  "Made by `npm run client-types` from the API's OpenAPI document; change the schemas in protocol/ instead.";
/** What else may be given to a call beside the names in its path. */
const reserved = new Set(["query", "body", "headers", "idempotencyKey", "signal"]);

/** Each generated file: its path and its text. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const document = (await openApiDocument()) as unknown as Document;
  const texts = { "client/api-types.ts": typesText(document), "client/operations.ts": operationsText(document) };
  const files = Object.entries(texts).map(async ([name, text]) => [name, await formatted(name, text)] as const);
  return new Map(await Promise.all(files));
}

/** The declarations of all named schemas, and what each operation takes and gives. */
export function typesText({ paths, components }: Document): string {
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) => `${comment(schema.description)}export type ${name} = ${typeOf(schema)};`,
  );
  const operations = operationsOf(paths).map(
    ({ operation }) => `${comment(operation.summary)}${operation.operationId}: ${operationType(operation)};`,
  );
  return `/**
 * The types of what the API takes and gives, and of its operations. Imports nothing.
 * ${generated}
 */

${schemas.join("\n\n")}

/** What each operation takes, as \`path\`, \`query\` and \`body\`, and what it answers. */
export interface Operations {
${operations.join("\n")}
}
`;
}

/** Where each operation is. */
export function operationsText({ paths }: Document): string {
  const rows = operationsOf(paths).map(({ method, path, operation }) => {
    const once = operation.parameters?.some(({ name }) => name === "idempotency-key") === true;
    const mark = operation["x-not-repeatable"] === true ? " anew" : once ? " once" : "";
    return `${operation.operationId}: "${method} ${shortPath(path)}${mark}",`;
  });
  return `/**
 * Where each operation of the API is: its method and its path, of which operation-path.ts tells how it is shortened; \`once\`
 * behind it says that it takes an idempotency key, \`anew\` that it does something new each time it is sent.
 * ${generated}
 */
export const operations = {
${rows.join("\n")}
} as const;
`;
}

function operationsOf(paths: Document["paths"]): { method: string; path: string; operation: Operation }[] {
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation })),
  );
}

function shortPath(path: string): string {
  const short = path
    .replace(/^\/v1\/projects\/\{projectId\}(?=\/|$)/, "p")
    .replace(/^\/v1\/organizations\/\{organizationId\}(?=\/|$)/, "o")
    .replace(/^\/v1/, "");
  if (pathOf(short) !== path) throw new Error(`Cannot write the path ${path} in short: it would not be the same again`);
  return short;
}

function operationType({ operationId, parameters = [], requestBody, responses }: Operation): string {
  const inPath = parameters.filter((parameter) => parameter.in === "path");
  const inQuery = parameters.filter((parameter) => parameter.in === "query");
  const clash = inPath.find(({ name }) => reserved.has(name));
  if (clash !== undefined) throw new Error(`Cannot write ${operationId}: its path has a parameter named ${clash.name}`);
  const contents = Object.entries(responses)
    .filter(([status]) => status !== "default")
    .map(([, { content }]) => content);
  const answers = contents.map((content) => {
    const schema = content === undefined ? undefined : Object.values(content)[0]?.schema;
    return schema === undefined ? "undefined" : typeOf(schema);
  });
  const stream = contents.some((content) => content !== undefined && !("application/json" in content));
  const parts = [
    ...(inPath.length === 0 ? [] : [`path: ${parametersType(inPath)};`]),
    ...(inQuery.length === 0 ? [] : [`query: ${parametersType(inQuery)};`]),
    ...(requestBody === undefined ? [] : [`body: ${typeOf(requestBody.content["application/json"]!.schema)};`]),
    `${stream ? "stream" : "answer"}: ${[...new Set(answers)].join(" | ")};`,
  ];
  return `{ ${parts.join(" ")} }`;
}

function parametersType(parameters: readonly Parameter[]): string {
  const entries = parameters.map(({ name, schema, description }) => [name, { description, ...schema }] as const);
  const required = parameters.filter((parameter) => parameter.required === true).map(({ name }) => name);
  return typeOf({ type: "object", properties: Object.fromEntries(entries), required, additionalProperties: false });
}

function comment(text: string | undefined): string {
  return text === undefined ? "" : `/** ${text.replaceAll("*/", "*\\/")} */\n`;
}

async function formatted(name: string, text: string): Promise<string> {
  const { code, errors } = await format(name, text, { printWidth: 120 });
  if (errors.length > 0) throw new Error(`Cannot format ${name}: ${errors.map(({ message }) => message).join("; ")}`);
  return code;
}

if (import.meta.main) {
  for (const [name, text] of await generatedFiles())
    writeFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), text);
}
