/**
 * The OpenAPI 3.1 document of the routes: made of the same data that the API serves them from, without a database, so that
 * the file in docs/ and the one at /openapi.json cannot differ.
 */
import swagger from "@fastify/swagger";
import { fastify } from "fastify";
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from "fastify-type-provider-zod";
import type { OpenAPIV3_1 } from "openapi-types";
import { z } from "zod";
import { noContent, problemSchema } from "../protocol/http/common.ts";
import { markedSchemas, plainNames } from "./openapi-names.ts";
import { problemType } from "./problem.ts";
import { idempotencyKeyPattern } from "./register-route.ts";
import type { Route } from "./route.ts";
import { apiRoutes } from "./routes.ts";

const description = `The HTTP API of Stepvault. Answers are JSON. What goes wrong is a problem as RFC 9457 has it; programs decide by its \`code\`, and docs/errors.md lists every one. docs/api.md tells what all routes have in common.`;

const statusTexts: Readonly<Record<number, string>> = {
  200: "Done",
  201: "Made",
  202: "Accepted",
  204: "Done; there is nothing to say",
};

const securitySchemes: Record<string, OpenAPIV3_1.SecuritySchemeObject> = {
  platformKey: {
    type: "apiKey",
    in: "header",
    name: "Authorization",
    description: "`<project>:<key>` with a platform key or an embed key; see docs/keys-api.md",
  },
  token: { type: "http", scheme: "bearer", bearerFormat: "JWT", description: "A person's token of an OIDC issuer" },
  session: {
    type: "apiKey",
    in: "cookie",
    name: "stepvault",
    description: "A person's session in the API's own pages",
  },
};

const idempotencyHeaders = z.object({
  "idempotency-key": z
    .string()
    .regex(idempotencyKeyPattern)
    .optional()
    .describe("Of the caller's choice: a request that is sent again with the same one is carried out once"),
});

/** The document for these routes; by default for all that there are. */
export async function openApiDocument(routes: readonly Route[] = apiRoutes): Promise<OpenAPIV3_1.Document> {
  const app = fastify({ logger: false, exposeHeadRoutes: false });
  const schemaRegistry = markedSchemas();
  // Only described here, never validated.
  app.setValidatorCompiler(() => () => true);
  app.setSerializerCompiler(() => () => "");
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: { title: "Stepvault", version: "1", description },
      tags: [...new Set(routes.map(({ tag }) => tag))].map((name) => ({ name })),
      components: { securitySchemes: securitySchemes as never },
    },
    transform: createJsonSchemaTransform({ schemaRegistry }),
    transformObject: createJsonSchemaTransformObject({ schemaRegistry }),
  });
  for (const route of routes) {
    app.route({ method: route.method, url: route.path, schema: schemaOf(route), handler: async () => undefined });
  }
  await app.ready();
  const document = app.swagger() as unknown as OpenAPIV3_1.Document;
  await app.close();
  return plainNames(JSON.parse(JSON.stringify(document)) as OpenAPIV3_1.Document);
}

/** The same as the text of docs/openapi.json. */
export async function openApiText(): Promise<string> {
  return `${JSON.stringify(await openApiDocument(), null, 2)}\n`;
}

function schemaOf(route: Route): Record<string, unknown> {
  const { params, query, body } = route;
  const answers = Object.entries(route.responses).map(([status, schema]) => {
    const description = statusTexts[Number(status)] ?? "Done";
    // What the generator takes for an answer without a body.
    if (schema === noContent) return [status, z.null().describe(description)];
    return [status, { description, content: { [route.stream ?? "application/json"]: { schema } } }];
  });
  return {
    operationId: route.operationId,
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    tags: [route.tag],
    security: route.access === "public" ? [] : Object.keys(securitySchemes).map((name) => ({ [name]: [] })),
    ...(params === undefined ? {} : { params }),
    ...(query === undefined ? {} : { querystring: query }),
    ...(body === undefined ? {} : { body }),
    ...(route.idempotent === true ? { headers: idempotencyHeaders } : {}),
    // The generator leaves out an extension that is false.
    ...(route.repeatable === false ? { "x-not-repeatable": true } : {}),
    response: {
      ...Object.fromEntries(answers),
      default: { description: "A problem", content: { [problemType]: { schema: problemSchema } } },
    },
  };
}
