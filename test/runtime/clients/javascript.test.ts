/** Which JavaScript client libraries work in a step, in the versions that package-lock.json names (client-tests.ts). */
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { testClients } from "./client-tests.ts";
import { javascriptCases } from "./javascript-cases.ts";
import { type ClientRunner, openClientRunner } from "./runner.ts";

let runner: ClientRunner;
beforeAll(async () => {
  runner = await openClientRunner("javascript", javascriptCases);
});
afterAll(async () => await runner?.close());

describe("client libraries in a JavaScript step", () => {
  testClients("javascript", javascriptCases, () => runner);
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
});
