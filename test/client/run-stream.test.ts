/**
 * Following a run. Goal: each event once and in order, whatever happens to connections; a dead one is noticed, a slow reader
 * is not taken for one, and what is beyond repair is told. Method: servers on loopback that cut, keep silent, repeat, leave
 * out and redirect; real sockets, small times.
 */
import { getEventListeners } from "node:events";
import type { ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import { asText, begin, eventOf, finishedOf, numbersOf, runId, upTo } from "./events.ts";
import { clientOf, closedUrl, failureOf, type Handler, json, project, startServer } from "./server.ts";

const waitShortly = (): void => void vi.spyOn(Math, "random").mockReturnValue(0.02);
afterEach(() => vi.restoreAllMocks());

const lastIds = (arrived: readonly { headers: Record<string, unknown> }[]): unknown[] =>
  arrived.map(({ headers }) => headers["last-event-id"]);
/** One handler for each connection; the last one stays. */
const inTurn =
  (...handlers: readonly Handler[]): Handler =>
  (response, number, request) =>
    handlers[Math.min(number, handlers.length) - 1]!(response, number, request);

describe("following a run", () => {
  test("asks once, with the key in the header alone, and ends at its end", async () => {
    const server = await startServer((response) => begin(response, [eventOf(0), finishedOf(1), eventOf(2)]));
    expect(await numbersOf(clientOf(server.url).runs.stream(runId))).toEqual([0, 1]);
    expect(server.arrived).toMatchObject([
      { method: "GET", headers: { accept: expect.stringMatching(/^text.event-stream/) } },
    ]);
    expect(server.arrived[0]?.url).toBe(`/v1/projects/${project}/runs/${runId}/events/stream`);
  });

  test("goes on behind the last event after each break, of whatever kind, without losing or doubling one", async () => {
    waitShortly();
    const half = asText([eventOf(3)]).slice(0, 40);
    const server = await startServer(
      inTurn(
        (response) => begin(response, [eventOf(0), eventOf(1)]).end(),
        (response) => response.destroy(),
        (response) => json(response, {}, 503),
        (response) => json(response, {}, 429),
        (response) => void begin(response, [eventOf(2)]).write(half, () => response.destroy()),
        (response) => begin(response).end(),
        // One that does not believe what it is told.
        (response) => begin(response, [eventOf(0), eventOf(1), eventOf(2), eventOf(3), finishedOf(4)]),
      ),
    );
    expect(await numbersOf(clientOf(server.url).runs.stream(runId))).toEqual(upTo(5));
    expect(lastIds(server.arrived)).toEqual([undefined, "1", "1", "1", "1", "2", "2"]);
  });

  test("begins behind an event that was seen, the first one too, and ends where nothing comes any more", async () => {
    const server = await startServer(
      inTurn(
        (response) => begin(response, [eventOf(1), finishedOf(2)]),
        (response) => response.writeHead(204).end(),
      ),
    );
    const client = clientOf(server.url);
    expect(await numbersOf(client.runs.stream(runId, { after: 0 }))).toEqual([1, 2]);
    expect(await numbersOf(client.runs.stream(runId, { after: 2 }))).toEqual([]);
    expect(lastIds(server.arrived)).toEqual(["0", "2"]);
  });

  test("tells of events that are left out, that are of another run, or that are none", async () => {
    const other = { ...eventOf(0), runId: "01890a5d-ac96-774b-bcce-b302099a8061" };
    const streams = [
      asText([eventOf(0), eventOf(2)]),
      asText([other]),
      "data: {private\n\n",
      "data: null\n\n",
      "data: {}\n\n",
    ];
    for (const text of streams) {
      const server = await startServer((response) => begin(response).write(text));
      const error = await failureOf(numbersOf(clientOf(server.url).runs.stream(runId)));
      expect([error.code, error.message]).toEqual(["ERR_CLIENT_ANSWER", expect.not.stringContaining("private")]);
      expect(server.arrived).toHaveLength(1);
    }
  });

  test("tells of an answer that is no stream, and of one event that is too large", async () => {
    const handlers: Handler[] = [
      (response) => response.end("<html>"),
      (response) => json(response, eventOf(0)),
      (response) => begin(response).write(`data: ${"x".repeat(3_000)}`),
    ];
    for (const handler of handlers) {
      const server = await startServer(handler);
      const stream = clientOf(server.url, { answerBytesMax: 2_000 }).runs.stream(runId);
      expect((await failureOf(numbersOf(stream))).code).toBe("ERR_CLIENT_ANSWER");
      expect(server.arrived).toHaveLength(1);
    }
  });

  test.each([400, 401, 403, 404, 500])("is given up at once when the answer is %s", async (status) => {
    const server = await startServer((response) => json(response, { code: "ERR_X" }, status));
    expect(await failureOf(numbersOf(clientOf(server.url).runs.stream(runId)))).toMatchObject({
      status,
      code: "ERR_X",
    });
    expect(server.arrived).toHaveLength(1);
  });

  test("is given up when the server stays away for longer than a request may take", async () => {
    const begun = performance.now();
    const gone = clientOf(await closedUrl(), { timeMsMax: 700 }).runs.stream(runId);
    expect((await failureOf(numbersOf(gone))).code).toBe("ERR_CLIENT_NETWORK");
    expect(performance.now() - begun).toBeLessThan(5_000);
    const busy = await startServer((response) => json(response.setHeader("retry-after", "3600"), {}, 503));
    expect(await failureOf(numbersOf(clientOf(busy.url).runs.stream(runId)))).toMatchObject({
      retryAfterMs: 3_600_000,
    });
    expect(busy.arrived).toHaveLength(1);
  });

  test("is borne for as long as a request may take from the break on, however long the stream was", async () => {
    const server = await startServer(
      inTurn(
        (response) => json(response, {}, 503),
        (response) => {
          begin(response, [eventOf(0)]);
          setTimeout(() => response.destroy(), 900);
        },
        (response) => begin(response, [finishedOf(1)]),
      ),
    );
    waitShortly();
    expect(await numbersOf(clientOf(server.url, { timeMsMax: 500 }).runs.stream(runId))).toEqual([0, 1]);
  });

  test("waits as long as Retry-After and `retry:` say", async () => {
    const times: number[] = [];
    const server = await startServer((response, number) => {
      times.push(performance.now());
      if (number === 1) json(response.setHeader("retry-after", "1"), {}, 503);
      else if (number === 2) begin(response, [eventOf(0)]).end("retry: 700\n\n");
      else begin(response, [finishedOf(1)]);
    });
    expect(await numbersOf(clientOf(server.url).runs.stream(runId))).toEqual([0, 1]);
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(850);
    expect((times[2] ?? 0) - (times[1] ?? 0)).toBeGreaterThan(600);
  });

  test.each([
    ["ends its answers", (response: ServerResponse) => response.end()],
    ["breaks them off", (response: ServerResponse) => setTimeout(() => response.destroy(), 20)],
  ])("waits longer each time while the server %s and nothing comes", async (_, spoil) => {
    vi.spyOn(Math, "random").mockReturnValue(0.5);
    const times: number[] = [];
    const server = await startServer((response, number) => {
      times.push(performance.now());
      if (number < 5) spoil(begin(response));
      else begin(response, [finishedOf(0)]);
    });
    await numbersOf(clientOf(server.url).runs.stream(runId));
    const waits = times.slice(1).map((time, index) => time - times[index]!);
    expect(waits).toHaveLength(4);
    expect(waits[3]).toBeGreaterThan(waits[0]! * 2);
  });
});

describe("a connection that says nothing", () => {
  test("is noticed and replaced; one that sends comments is not", async () => {
    const server = await startServer(
      inTurn(
        (response) => begin(response, [eventOf(0)]),
        (response) => {
          begin(response, [eventOf(1)]);
          const timer = setInterval(() => response.write(": \n\n"), 100);
          setTimeout(() => response.write(asText([finishedOf(2)])), 1_200);
          response.on("close", () => clearInterval(timer));
        },
      ),
    );
    const stream = clientOf(server.url, { silenceTimeMsMax: 500 }).runs.stream(runId);
    expect(await numbersOf(stream)).toEqual([0, 1, 2]);
    expect(lastIds(server.arrived)).toEqual([undefined, "0"]);
  });

  test("is not one whose reader takes its time", async () => {
    const server = await startServer((response) => {
      begin(response, [eventOf(0)]);
      setTimeout(() => response.write(asText([eventOf(1)])), 30);
      setTimeout(() => response.write(asText([finishedOf(2)])), 60);
    });
    const numbers: number[] = [];
    for await (const { seq } of clientOf(server.url, { silenceTimeMsMax: 100 }).runs.stream(runId)) {
      numbers.push(seq);
      await sleep(300);
    }
    expect([numbers, server.arrived.length]).toEqual([[0, 1, 2], 1]);
  });
});

describe("who follows a run", () => {
  test("makes the server wait by not reading, and misses nothing", async () => {
    const count = 200;
    const text = "x".repeat(100_000);
    let sent = 0;
    const server = await startServer((response) => {
      begin(response);
      const more = (): void => {
        while (sent < count) {
          const event = sent < count - 1 ? { ...eventOf(sent), text } : finishedOf(sent);
          sent += 1;
          if (!response.write(asText([event]))) return void response.once("drain", more);
        }
      };
      more();
    });
    const numbers: number[] = [];
    for await (const { seq } of clientOf(server.url).runs.stream(runId)) {
      numbers.push(seq);
      if (seq > 0) continue;
      await sleep(1_500);
      expect(sent).toBeLessThan(count);
    }
    expect(numbers).toEqual(upTo(count));
  });

  test("lets go of the connection by leaving, and by its signal, which gives its own reason", async () => {
    let closed = 0;
    const server = await startServer((response) => {
      begin(response, [eventOf(0)]);
      response.on("close", () => (closed += 1));
    });
    const client = clientOf(server.url);
    for await (const _ of client.runs.stream(runId)) break;
    await vi.waitFor(() => expect(closed).toBe(1));
    const controller = new AbortController();
    const reason = new Error("seen enough");
    setTimeout(() => controller.abort(reason), 200);
    await expect(numbersOf(client.runs.stream(runId, { signal: controller.signal }))).rejects.toBe(reason);
    await vi.waitFor(() => expect(closed).toBe(2));
    expect(getEventListeners(controller.signal, "abort")).toEqual([]);
    await expect(numbersOf(client.runs.stream(runId, { signal: AbortSignal.abort(reason) }))).rejects.toBe(reason);
    expect(server.arrived).toHaveLength(2);
  });

  test("gets no other event of those that came together once the signal is aborted, and its reason", async () => {
    for (const last of [0, 1, 3]) {
      const server = await startServer((response) => begin(response, [...upTo(3).map(eventOf), finishedOf(3)]));
      const [controller, reason, numbers] = [new AbortController(), new Error("seen enough"), [] as number[]];
      const follow = async (): Promise<void> => {
        for await (const { seq } of clientOf(server.url).runs.stream(runId, { signal: controller.signal })) {
          numbers.push(seq);
          if (seq === last) controller.abort(reason);
        }
      };
      await expect(follow()).rejects.toBe(reason);
      expect(numbers).toEqual(upTo(last + 1));
    }
  });

  test("gets no other of the events so far once the signal is aborted, and its reason", async () => {
    const page = { data: upTo(4).map(eventOf), pagination: { hasMore: false } };
    const server = await startServer((response) => json(response, page));
    const [controller, reason, numbers] = [new AbortController(), new Error("seen enough"), [] as number[]];
    const look = async (): Promise<void> => {
      for await (const { seq } of clientOf(server.url).runs.events(runId, { signal: controller.signal })) {
        numbers.push(seq);
        if (seq === 1) controller.abort(reason);
      }
    };
    await expect(look()).rejects.toBe(reason);
    expect(numbers).toEqual([0, 1]);
  });

  test("stops waiting for a server that is away by its signal", async () => {
    const server = await startServer((response) => json(response.setHeader("retry-after", "30"), {}, 503));
    const reason = new Error("enough");
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 200);
    const stream = clientOf(server.url).runs.stream(runId, { signal: controller.signal });
    await expect(numbersOf(stream)).rejects.toBe(reason);
  });

  test("leaves no timer behind", async () => {
    const [set, cleared] = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "clearTimeout")];
    const server = await startServer((response) => begin(response, [eventOf(0), finishedOf(1)]));
    await numbersOf(clientOf(server.url, { silenceTimeMsMax: 44_999 }).runs.stream(runId));
    const timers = set.mock.calls.flatMap(([, ms], index) => (ms === 44_999 ? [set.mock.results[index]?.value] : []));
    expect(timers.length).toBeGreaterThan(0);
    expect(cleared.mock.calls.map(([timer]) => timer)).toEqual(expect.arrayContaining(timers));
  });
});
