/**
 * Where the key goes when a run is followed. Goal: to the client's own server, in the Authorization header, and nowhere else:
 * not by a redirect in the midst of a stream, not to an address that an answer names, not into an error or onto a console.
 * Method: a thief's server beside the real one, answers that name it, and a platform's error that quotes the request.
 */
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { asText, begin, eventOf, finishedOf, numbersOf, runId } from "./events.ts";
import { clientOf, failureOf, json, newServerKey, project, serverKey, startServer } from "./server.ts";

const random = serverKey.slice(6, -6);
afterEach(() => vi.restoreAllMocks());

describe("the key of a stream", () => {
  test.each([301, 302, 303, 307, 308])(
    "does not follow a redirect with %s, at first or after a break",
    async (status) => {
      const thief = await startServer((response) => begin(response, [finishedOf(1)]));
      for (const redirectedAt of [1, 2]) {
        const server = await startServer((response, number) => {
          if (number < redirectedAt) begin(response, [eventOf(0)]).end();
          else response.writeHead(status, { location: `${thief.url}/v1/x`, "content-type": "text/event-stream" }).end();
        });
        const error = await failureOf(numbersOf(clientOf(server.url).runs.stream(runId)));
        expect([error.code, server.arrived.length]).toEqual(["ERR_CLIENT_REDIRECT", redirectedAt]);
      }
      expect(thief.arrived).toEqual([]);
    },
  );

  test("goes to no address that an answer or an event names", async () => {
    const thief = await startServer();
    const headers = {
      location: `${thief.url}/v1/x`,
      "content-location": thief.url,
      link: `<${thief.url}>; rel=next`,
      refresh: `0; url=${thief.url}`,
    };
    const server = await startServer((response, number, { method, url }) => {
      for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
      if (method === "POST") return json(response, { runId, created: true, status: "queued", result: null }, 202);
      if (!url.endsWith("/stream")) return json(response, { result: { runId, status: "succeeded" } });
      const text = `event: redirect\ndata: ${thief.url}\n\nlocation: ${thief.url}\n\n${asText([eventOf(0)])}`;
      if (number === 2) begin(response).end(text);
      else begin(response, [finishedOf(1)]);
    });
    const stream = clientOf(server.url).runs.stream({ runId, step: { id: runId } });
    expect(await numbersOf(stream)).toEqual([0, 1]);
    await stream.result();
    expect([server.arrived.length, thief.arrived]).toEqual([4, []]);
  });

  test("is in the Authorization header of every connection and nowhere else of what arrives", async () => {
    const server = await startServer((response, number) =>
      number === 1 ? begin(response, [eventOf(0)]).end() : begin(response, [finishedOf(1)]),
    );
    await numbersOf(clientOf(server.url).runs.stream(runId));
    expect(server.arrived).toHaveLength(2);
    for (const { url, headers, body } of server.arrived) {
      const { authorization, ...others } = headers;
      expect(authorization).toBe(`${project}:${serverKey}`);
      expect((url + JSON.stringify(others) + body).includes(random)).toBe(false);
    }
  });

  test("is refused where a run's id belongs, and is not repeated in the error", async () => {
    const server = await startServer();
    const error = await failureOf(numbersOf(clientOf(server.url).runs.stream(serverKey)));
    expect([error.code, error.message.includes(random), server.arrived]).toEqual(["ERR_CLIENT_REQUEST", false, []]);
  });

  test("is in no error, also when the platform's own quotes the request or breaks off in the midst", async () => {
    const quoting = (init: RequestInit): Error => {
      const headers = [...new Headers(init.headers)].join();
      return Object.assign(new TypeError(headers), { init, cause: { code: headers } });
    };
    const fetches = [
      async (_: string, init: RequestInit): Promise<Response> => await Promise.reject(quoting(init)),
      async (_: string, init: RequestInit): Promise<Response> =>
        new Response(new ReadableStream({ pull: (controller) => controller.error(quoting(init)) }), {
          headers: { "content-type": "text/event-stream" },
        }),
    ];
    for (const fetch of fetches) {
      const error = await failureOf(
        numbersOf(clientOf("http://127.0.0.1:9", { fetch, timeMsMax: 50 }).runs.stream(runId)),
      );
      expect(error.code).toBe("ERR_CLIENT_NETWORK");
      expect((inspect(error, { depth: 9, showHidden: true }) + error.stack).includes(random)).toBe(false);
    }
    const echo = await startServer((response) => json(response, { detail: serverKey, code: serverKey }, 403));
    const refused = await failureOf(numbersOf(clientOf(echo.url).runs.stream(runId)));
    const shown = inspect(refused, { depth: 9, showHidden: true });
    expect([shown.includes(random), shown.includes(newServerKey().hint)]).toEqual([false, true]);
  });

  test("is not in a stream, a client or its parts as consoles and JSON show them, and nothing is printed", async () => {
    const printed: unknown[] = [];
    for (const name of ["log", "info", "warn", "error", "debug", "trace"] as const)
      vi.spyOn(console, name).mockImplementation((...all) => void printed.push(all));
    const server = await startServer((response) => response.destroy());
    const client = clientOf(server.url, { timeMsMax: 100 });
    const stream = client.runs.stream(runId);
    await failureOf(numbersOf(stream));
    for (const one of [client, client.runs, client.steps, stream, stream[Symbol.asyncIterator]()]) {
      const shown = inspect(one, { depth: 9, showHidden: true, getters: true }) + JSON.stringify(one);
      expect(shown.includes(random)).toBe(false);
    }
    expect(printed).toEqual([]);
  });
});
