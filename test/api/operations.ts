/** The operations of an OpenAPI document, flat, and its schemas as ones of JSON Schema that stand alone. */
import type { OpenAPIV3_1 } from "openapi-types";
import { z } from "zod";

export type Schema = Record<string, unknown>;

export interface Operation {
  readonly parameters: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema: Schema;
  }[];
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> };
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema?: Schema }> }>;
  readonly security: unknown;
}

export interface DocumentedOperation {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  readonly operation: Operation;
}

export function operationsOf(document: OpenAPIV3_1.Document): DocumentedOperation[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    Object.entries(item as Record<string, Operation & { operationId: string }>).map(([method, operation]) => ({
      method: method.toUpperCase(),
      path,
      operationId: operation.operationId,
      operation: { ...operation, parameters: operation.parameters ?? [] },
    })),
  );
}

/** A schema with everything that it refers to inside. */
function standalone(document: OpenAPIV3_1.Document, schema: Schema): Schema {
  const text = JSON.stringify({ ...schema, $defs: document.components?.schemas ?? {} });
  return JSON.parse(text.replaceAll("#/components/schemas/", "#/$defs/")) as Schema;
}

/** What a schema of the document says of a value; empty when it fits. */
export function faultsOf(document: OpenAPIV3_1.Document, schema: Schema, value: unknown): string[] {
  const parsed = z.fromJSONSchema(standalone(document, schema)).safeParse(value);
  return parsed.error?.issues.map(({ code, path }) => `${code} at /${path.join("/")}`) ?? [];
}
