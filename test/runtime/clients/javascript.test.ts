/**
 * Which JavaScript client libraries work in a step. Goal: docs/clients.md says what is true of the versions that
 * package-lock.json names. Method: each library is bundled, locked and imported by a step, which sends a typical request
 * to a server that checks the credential; results.json, from which the page is made, must say what came of it.
 */
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientCases } from "./cases.ts";
import { type ClientRunner, openClientRunner } from "./runner.ts";

interface ClientResult {
  readonly library: string;
  readonly version: string;
  readonly title: string;
  readonly readable: string;
  readonly sealed: string;
}

const resultsFile = new URL("results.json", import.meta.url);
const hint = "if that is wanted: `npx vitest run test/runtime/clients -u`, then `npm run docs`";

let runner: ClientRunner;
beforeAll(async () => {
  runner = await openClientRunner(clientCases);
});
afterAll(async () => await runner?.close());

describe("client libraries in a JavaScript step", () => {
  const recorded = JSON.parse(readFileSync(resultsFile, "utf8")) as ClientResult[];
  const found: ClientResult[] = [];

  for (const clientCase of clientCases) {
    const { library, version, title } = clientCase;
    test(`${library} ${version}: ${title}`, async () => {
      const readable = await runner.run(clientCase, "readable");
      const tried = await runner.run(clientCase, "sealed");
      // That it fails is found here; why, the failure itself cannot tell.
      const sealed =
        tried.startsWith("no: it gave") || tried.includes("ERR_STEP") ? (clientCase.sealed ?? tried) : tried;
      const result = { library, version, title, readable, sealed };
      found.push(result);
      const before = recorded.find((row) => row.library === library && row.title === title);
      expect(result, `results.json has another result; ${hint}`).toEqual(before);
    });
  }
  test("are all in results.json, and no others", async () => {
    await expect(`${JSON.stringify(found, undefined, 2)}\n`).toMatchFileSnapshot(resultsFile.pathname, hint);
  });
  test("find built-ins whose heirs may have methods of their own", async () => {
    const code = `"use strict";
function Bytes() {}
Object.setPrototypeOf(Bytes.prototype, Uint8Array.prototype);
Object.assign(Bytes.prototype, { toString: () => "own", slice: () => "own" });
const generators = [(function* () {})(), (async function* () {})()];
for (const generator of generators) generator.return = () => "own";
const failure = (() => { try { Object.getPrototypeOf(generators[0]).next = 1; } catch (error) { return error.name; } })();
return [String(new Bytes()), new Bytes().slice(), new Uint8Array([1, 2]).slice(1).toString(), ...generators.map((generator) => generator.return()), failure ?? [...(function* () { yield 5; })()]];`;
    const check = (output: unknown): boolean => isDeepStrictEqual(output, ["own", "own", "2", "own", "own", [5]]);
    const bare = { library: "", version: "", packages: [], title: "", code, check };
    expect(await runner.run(bare, "readable")).toBe("works");
  });
  test("are refused by the server with another secret", async () => {
    for (const clientCase of clientCases)
      for (const mode of ["readable", "sealed"] as const)
        expect(await runner.run(clientCase, mode, "sk_test_another")).toMatch(/^no: /);
  });
});
