/**
 * The tests of client libraries in one language. Goal: docs/clients.md says what is true. Each library is made a package,
 * locked and imported by a step, which sends a typical request to a server that checks the credential; the file of
 * results, from which the page is made, must say what came of it.
 */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { ClientCase } from "./client-case.ts";
import type { ClientRunner } from "./runner.ts";

interface ClientResult {
  readonly library: string;
  readonly version: string;
  readonly title: string;
  readonly readable: string;
  readonly sealed: string;
}

const hint = "if that is wanted: `npx vitest run test/runtime/clients -u`, then `npm run docs`";

export function testClients(
  language: "javascript" | "python",
  cases: readonly ClientCase[],
  runner: () => ClientRunner,
): void {
  const resultsFile = new URL(`${language}-results.json`, import.meta.url);
  const recorded = JSON.parse(readFileSync(resultsFile, "utf8")) as ClientResult[];
  const found: ClientResult[] = [];

  for (const clientCase of cases) {
    const { library, version, title } = clientCase;
    test(`${library} ${version}: ${title} (${language})`, async () => {
      const readable = await runner().run(clientCase, "readable");
      const tried = await runner().run(clientCase, "sealed");
      // That it fails is found here; why, the failure itself cannot tell.
      const failed = tried.startsWith("no: it gave") || tried.includes("ERR_STEP");
      const result = { library, version, title, readable, sealed: failed ? (clientCase.sealed ?? tried) : tried };
      found.push(result);
      const before = recorded.find((row) => row.library === library && row.title === title);
      expect(result, `${language}-results.json has another result; ${hint}`).toEqual(before);
    });
  }
  test(`are all in ${language}-results.json, and no others`, async () => {
    await expect(`${JSON.stringify(found, undefined, 2)}\n`).toMatchFileSnapshot(resultsFile.pathname, hint);
  });
  test(`are refused by the server with another secret (${language})`, async () => {
    for (const clientCase of cases)
      for (const mode of ["readable", "sealed"] as const)
        expect(await runner().run(clientCase, mode, "sk_test_another")).toMatch(/^no: /);
  });
}
