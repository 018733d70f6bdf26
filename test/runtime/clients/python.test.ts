/** Which Python clients work in a step: the standard library's, and packages made from Debian's (client-tests.ts). */
import { afterAll, beforeAll, describe } from "vitest";
import { testClients } from "./client-tests.ts";
import { pythonCases } from "./python-cases.ts";
import { type ClientRunner, openClientRunner } from "./runner.ts";

let runner: ClientRunner;
beforeAll(async () => {
  runner = await openClientRunner("python", pythonCases);
});
afterAll(async () => await runner?.close());

describe("clients in a Python step", () => {
  testClients("python", pythonCases, () => runner);
});
