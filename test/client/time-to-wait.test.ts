/**
 * How long `runs.wait` and `runs.submitAndWait` take. Goal: no longer than their caller allows, whatever the server does, and
 * the error says what happened. Method: servers on loopback that keep silent, answer slowly, refuse or are not there; the
 * client's own limits are the usual ones, which are far longer.
 */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { StepvaultApiError, StepvaultClientError } from "../../client/errors.ts";
import type { Runs } from "../../client/runs.ts";
import { clientOf, closedUrl, failureOf, type Handler, json, startServer } from "./server.ts";

const runId = "01890a5d-ac96-774b-bcce-b302099a8070";
const step = { id: runId };
const timeMsMax = 800;
const silent: Handler = () => undefined;
const away: Handler = (response) => response.destroy();
const busy: Handler = (response) => json(response.setHeader("retry-after", "30"), {}, 503);
/** As the API does: it answers once the run has ended or the time that was asked for is over. */
const waiting: Handler = (response, _, { url }) => {
  const seconds = Number(new URL(url, "http://x").searchParams.get("wait"));
  setTimeout(() => json(response, { runId, result: null }), seconds * 1_000);
};
const accepting =
  (then: Handler): Handler =>
  (response, number, request) =>
    request.method === "POST" ? json(response, { runId, result: null }, 202) : then(response, number, request);

/** The error of what must fail when the time is over. */
async function lateFailureOf(
  url: string,
  doing: (runs: Runs) => Promise<unknown>,
): Promise<StepvaultApiError | StepvaultClientError> {
  const begun = performance.now();
  const error = await failureOf(doing(clientOf(url).runs));
  const tookMs = performance.now() - begun;
  expect(tookMs).toBeGreaterThan(timeMsMax * 0.5);
  expect(tookMs).toBeLessThan(timeMsMax + 400);
  return error;
}

afterEach(() => vi.restoreAllMocks());

describe("waiting for a run", () => {
  test.each([
    ["says nothing", silent, /: it has not ended within 800 ms; Cannot GET .*: no whole answer within \d+ ms/],
    ["is away", away, /: it has not ended within 800 ms; Cannot GET .*: no whole answer from /],
    ["is busy for longer", busy, /: it has not ended within 800 ms; Cannot GET .*: 503/],
    ["waits for the run", waiting, /: it has not ended within 800 ms$/],
  ])("takes as long as the caller allows when the server %s, and says why nothing came", async (_, handler, why) => {
    const server = await startServer(handler);
    const error = await lateFailureOf(server.url, async (runs) => await runs.wait(runId, { timeMsMax }));
    expect([error.code, error.message]).toEqual(["ERR_CLIENT_TIMEOUT", expect.stringMatching(why)]);
  });

  test("asks once when there is no time at all", async () => {
    const ended = await startServer((response) => json(response, { result: { status: "succeeded" } }));
    expect(await clientOf(ended.url).runs.wait(runId, { timeMsMax: 0 })).toEqual({ status: "succeeded" });
    // The pause before another question would be long, were it not cut.
    vi.spyOn(Math, "random").mockReturnValue(9);
    const begun = performance.now();
    const running = await startServer((response) => json(response, { result: null }));
    const error = await failureOf(clientOf(running.url).runs.wait(runId, { timeMsMax: 0 }));
    expect(performance.now() - begun).toBeLessThan(1_500);
    expect([error.code, running.arrived.length]).toEqual(["ERR_CLIENT_TIMEOUT", 1]);
  });
});

describe("submitting and waiting", () => {
  test.each([
    ["says nothing any more", silent],
    ["is away", away],
    ["waits for the run", waiting],
  ])("takes as long as the caller allows when the server has accepted the run and %s", async (_, handler) => {
    const server = await startServer(accepting(handler));
    const error = await lateFailureOf(server.url, async (runs) => await runs.submitAndWait({ step }, { timeMsMax }));
    expect(error).toMatchObject({ code: "ERR_CLIENT_TIMEOUT", message: expect.stringContaining("Cannot wait for") });
  });

  test("takes as long as the caller allows when nothing answers, and says whether somebody was there", async () => {
    const server = await startServer(silent);
    const submit = async (runs: Runs): Promise<unknown> => await runs.submitAndWait({ step }, { timeMsMax });
    expect(await lateFailureOf(server.url, submit)).toMatchObject({ code: "ERR_CLIENT_TIMEOUT" });
    expect(await lateFailureOf(await closedUrl(), submit)).toMatchObject({ code: "ERR_CLIENT_NETWORK" });
    const refusing = await startServer(busy);
    expect(await lateFailureOf(refusing.url, submit)).toMatchObject({ status: 503, retryAfterMs: 30_000 });
  });

  test("lets the server wait for less time than is left, so that its answer is seen", async () => {
    const result = { runId, status: "succeeded", output: 1 };
    const server = await startServer((response, number, request) =>
      number === 1 ? waiting(response, number, request) : json(response, { runId, result }),
    );
    expect(await clientOf(server.url).runs.submitAndWait({ step }, { timeMsMax: 3_200 })).toEqual(result);
    const waits = server.arrived.map(({ url }) => new URL(url, server.url).searchParams.get("wait"));
    expect(waits).toEqual(["2", "0"]);
  });
});
