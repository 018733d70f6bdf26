/** The OpenAPI document: valid, complete, the same in the repository and at /openapi.json. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Validator } from "@seriousme/openapi-schema-validator";
import { expect, test } from "vitest";
import { openApiDocument, openApiText } from "../../api/openapi.ts";
import { apiRoutes } from "../../api/routes.ts";
import { startApi } from "./api.ts";
import { operationsOf } from "./operations.ts";

test("the OpenAPI document is valid", async () => {
  const result = await new Validator().validate(await openApiDocument());
  expect(result).toMatchObject({ valid: true });
});

test("every route is in the OpenAPI document once, under a name of its own", async () => {
  const documented = operationsOf(await openApiDocument());
  const routes = apiRoutes.map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, "{$1}")}`);
  expect(documented.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(routes.sort());
  const names = documented.map(({ operationId }) => operationId);
  expect(new Set(names).size).toBe(names.length);
  expect(names.filter((name) => !/^[a-z][A-Za-z0-9]+$/.test(name))).toEqual([]);
});

test("every part of a route's path is described, and who may call it", async () => {
  for (const { path, operation } of operationsOf(await openApiDocument())) {
    const inPath = operation.parameters.filter((parameter) => parameter.in === "path").map(({ name }) => name);
    expect(inPath.sort()).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name = ""]) => name).sort());
    expect(operation.security).toBeInstanceOf(Array);
    expect(operation.responses["default"]?.content).toHaveProperty(["application/problem+json"]);
  }
});

test("every PUT that makes a version each time says that it is not repeatable, and nothing else does", async () => {
  const { paths } = await openApiDocument();
  const marked = Object.values(paths ?? {}).flatMap((methods) =>
    Object.entries(methods ?? {}).filter(([, operation]) => "x-not-repeatable" in (operation as object)),
  );
  expect(marked.map(([method, operation]) => [method, (operation as { operationId: string }).operationId])).toEqual([
    ["put", "setSecret"],
    ["put", "setOrganizationSecret"],
    ["put", "setSecretPolicy"],
    ["put", "setOrganizationSecretPolicy"],
  ]);
});

test("every reference in the OpenAPI document leads to a named schema", async () => {
  const document = await openApiDocument();
  const text = JSON.stringify(document);
  const named = Object.keys(document.components?.schemas ?? {});
  const referred = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name);
  expect(new Set(referred)).toEqual(new Set(named));
  expect(text).not.toMatch(/__SCHEMA|def-\d/);
});

test("docs/openapi.json is what the routes make", async () => {
  const file = fileURLToPath(new URL("../../docs/openapi.json", import.meta.url));
  expect(readFileSync(file, "utf8")).toBe(await openApiText());
});

test("the API serves the same document", async () => {
  const api = await startApi(undefined);
  expect(await (await api.request("/openapi.json", { as: "" })).json()).toEqual(await openApiDocument());
  await api.api.close();
});
