/**
 * Answers that are not the API's. Goal: what a proxy or a page says with a good status is an error of the client library, not
 * one of the language, and never an undefined result. Method: a server on loopback that says 200 and something else.
 */
import { describe, expect, test } from "vitest";
import type { Client } from "../../client/client.ts";
import { clientOf, failureOf, startServer } from "./server.ts";

const runId = "01890a5d-ac96-774b-bcce-b302099a8070";
const step = { id: runId };

async function all(list: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of list);
}

const calls: [string, (client: Client) => Promise<unknown>, string[]][] = [
  ["runs.list", async ({ runs }) => await all(runs.list()), ['{"data":[]}', '{"data":{},"pagination":{}}']],
  ["steps.list", async ({ steps }) => await all(steps.list()), ['{"data":[],"pagination":null}']],
  ["list", async (client) => await all(client.list("listSecrets")), ['{"data":"ab","pagination":{}}']],
  ["runs.events", async ({ runs }) => await all(runs.events(runId)), ['{"data":[]}', '{"pagination":{}}']],
  ["runs.wait", async ({ runs }) => await runs.wait(runId), ['{"result":"done"}']],
  ["runs.output", async ({ runs }) => await runs.output(runId), ['"x"']],
  ["runs.submit", async ({ runs }) => await runs.submit({ step }), ['{"runId":7}']],
  ["runs.submitAndWait", async ({ runs }) => await runs.submitAndWait({ step }), ['{"result":null}']],
  ["runs.submitBatch", async ({ runs }) => await runs.submitBatch([{ step }]), ['{"runs":{}}']],
  ["runs.stream", async ({ runs }) => await all(runs.stream({ step })), ['{"runId":null}']],
];

describe("an answer without what is needed of it", () => {
  test.each(calls)("is told by %s, which asks no more", async (_, call, more) => {
    for (const text of ["", "{}", "null", "[]", ...more]) {
      const server = await startServer((response) => response.end(text));
      const error = await failureOf(call(clientOf(server.url)));
      expect([text, error.code, server.arrived.length]).toEqual([text, "ERR_CLIENT_ANSWER", 1]);
    }
  });

  test("names the operation and what is missing", async () => {
    const server = await startServer((response) => response.end("{}"));
    expect((await failureOf(clientOf(server.url).runs.wait(runId))).message).toBe(
      "Cannot read what the server says: the answer of getRun cannot be used, its result is missing",
    );
  });
});
