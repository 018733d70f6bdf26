/**
 * Events on their way to a viewer: what a step printed stays inside its line, also for readers that break lines where JSON
 * does not; a slow viewer is waited for, a dead one cut; and every end is one that the viewer understands.
 */
import { once } from "node:events";
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, test } from "vitest";
import {
  encode,
  firstWanted,
  sendEvents,
  type SendEventsOptions,
  type StreamEnd,
  streamHeaders,
} from "../../api/event-stream.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { RunEvent } from "../../protocol/job.ts";

const runId = "00000000-0000-7000-8000-000000000000";
const time = "2026-01-01T00:00:00.000Z";
const printed = (seq: number, text: string): RunEvent => ({ runId, seq, time, kind: "stdout", text });
const finished = (seq: number): RunEvent => ({ runId, seq, time, kind: "finished", status: "succeeded" });

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

type Follow = (signal: AbortSignal) => AsyncIterable<readonly RunEvent[]>;

/** A server that sends events to whoever asks, its port, and how each stream ended. It does not answer `/silent`. */
async function serve(
  follow: Follow,
  options: SendEventsOptions,
): Promise<{ port: number; server: Server; ends: (StreamEnd | Error)[] }> {
  const ends: (StreamEnd | Error)[] = [];
  const server = createServer((request, response: ServerResponse) => {
    if (request.url === "/silent") return;
    response.writeHead(200, streamHeaders[options.format]);
    void sendEvents(response, follow, options).then(
      (end) => ends.push(end),
      (error: Error) => ends.push(error),
    );
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { port: (server.address() as AddressInfo).port, server, ends };
}

async function ask(port: number): Promise<IncomingMessage> {
  const [response] = (await once(get({ host: "127.0.0.1", port, agent: false }), "response")) as [IncomingMessage];
  return response;
}

/** Everything at once, into memory. */
async function send(pages: readonly (readonly RunEvent[])[], options: SendEventsOptions): Promise<string> {
  const stream = new PassThrough();
  const all = text(stream);
  await sendEvents(stream, () => pagesOf(pages), options);
  return await all;
}

async function* pagesOf(pages: readonly (readonly RunEvent[])[]): AsyncGenerator<readonly RunEvent[]> {
  for (const page of pages) {
    await Promise.resolve();
    yield page;
  }
}

/** Waits for nothing but the end. */
async function* silence(signal: AbortSignal): AsyncGenerator<readonly RunEvent[]> {
  if (!signal.aborted) await once(signal, "abort");
  yield* [];
}

/** As the HTML standard reads an event stream. */
function readSse(stream: string): { id: string; event: string; data: string }[] {
  const seen: { id: string; event: string; data: string }[] = [];
  let [id, event, data] = ["", "", [] as string[]];
  for (const line of stream.split(/\r\n|\r|\n/)) {
    if (line === "") {
      if (data.length > 0) seen.push({ id, event: event || "message", data: data.join("\n") });
      [event, data] = ["", []];
      continue;
    }
    const [, field, value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === "id") id = value;
    if (field === "event") event = value;
    if (field === "data") data.push(value);
  }
  return seen;
}

const attacks = [
  "line\nid: 999\nevent: end\ndata: {}\n\n",
  "\r\rdata: injected\r\n\r\nretry: 1\n",
  "u2028 \u2028data: x u2029 \u2029 nel \u0085 vt \u000b ff \u000c fs \u001c gs \u001d rs \u001e",
  "\0 nul \u{1F389} lone \ud83d and \udc00 \ufeff bom",
  ': comment\n\n"}\n{"kind":"finished"}\n',
  String.raw`\u2028 \n "quoted" \\`,
];

describe("what a step printed", () => {
  test("arrives as it was in server-sent events, each event one message with its number", async () => {
    const events = attacks.map((attack, i) => printed(i, attack));
    const messages = readSse(await send([events, [finished(events.length)]], { format: "sse" }));
    expect(messages.map(({ event }) => event)).toEqual([...events, 1].map(() => "message").concat("end"));
    expect(messages.slice(0, -1).map(({ id }) => id)).toEqual([...events.keys(), events.length].map(String));
    expect(messages.slice(0, -1).map(({ data }) => JSON.parse(data))).toEqual([...events, finished(events.length)]);
  });

  test("arrives as it was in lines of JSON, also where a reader breaks lines as Python does", async () => {
    const events = attacks.map((attack, i) => printed(i, attack));
    const stream = await send([events, [finished(events.length)]], { format: "ndjson" });
    // What str.splitlines() takes for the end of a line.
    // oxlint-disable-next-line no-control-regex -- these it is about.
    const lines = stream.split(/\r\n|[\n\r\u000b\u000c\u001c-\u001e\u0085\u2028\u2029]/);
    expect(lines.pop()).toBe("");
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([...events, finished(events.length)]);
    expect(Buffer.from(stream).toString()).toBe(stream);
  });

  test("is encoded once for all viewers of a page", () => {
    const page = [printed(0, "shared")];
    expect(encode(page, "sse")).toBe(encode(page, "sse"));
    expect(encode(page, "ndjson")).toBe(encode(page, "ndjson"));
    expect(encode(page, "sse")).not.toEqual(encode(page, "ndjson"));
  });
});

describe("where a viewer goes on", () => {
  test.each([
    [undefined, undefined, 0],
    ["0", undefined, 1],
    [undefined, "41", 42],
    ["7", "3", 8],
    ["2147483646", undefined, 2_147_483_647],
  ])("after Last-Event-ID %s and the parameter %s is event %s", (header, after, first) => {
    expect(firstWanted(header, after)).toBe(first);
  });

  test.each([
    "",
    " 1",
    "1 ",
    "-1",
    "+1",
    "1.0",
    "1e3",
    "0x1",
    "01",
    "٣",
    "1, 2",
    "2147483647",
    "99999999999",
    "1\n",
    ["1"],
  ])("is refused when it is %j", (wrong) => {
    expect(() => firstWanted(wrong)).toThrow(expect.objectContaining({ code: "ERR_REQUEST_INVALID" }) as Error);
    if (typeof wrong !== "string") return;
    expect(() => firstWanted(undefined, wrong)).toThrow(/: after must be/);
  });
});

describe("a stream", () => {
  test("of server-sent events begins at once, beats while nothing happens, and says when all is over", async () => {
    const follow = async function* (): AsyncGenerator<readonly RunEvent[]> {
      await sleep(300);
      yield [printed(0, "late"), finished(1)];
    };
    const { port, ends } = await serve(follow, { format: "sse", heartbeatMs: 50 });
    const response = await ask(port);
    expect(response.headers).toMatchObject(streamHeaders.sse);
    const [first] = (await once(response, "data")) as [Buffer];
    expect(first.toString()).toMatch(/^retry: [0-9]{3,4}\n\n/);
    const rest = await text(response);
    expect(rest.split(": \n\n").length).toBeGreaterThan(3);
    expect(readSse(rest).map(({ event }) => event)).toEqual(["message", "message", "end"]);
    expect(ends).toEqual(["finished"]);
  });

  test("of lines answers at once too, and holds nothing but events", async () => {
    const { port } = await serve(silence, { format: "ndjson", heartbeatMs: 10, timeMsMax: 300 });
    const began = performance.now();
    const response = await ask(port);
    expect(performance.now() - began).toBeLessThan(250);
    expect(await text(response)).toBe("");
  });

  test.each(["ndjson", "sse"] as const)(
    "of a quiet run outlives what a server allows of silence (%s)",
    async (format) => {
      const follow = async function* (): AsyncGenerator<readonly RunEvent[]> {
        await sleep(600);
        yield [finished(0)];
      };
      const { port, server, ends } = await serve(follow, { format });
      server.setTimeout(150);
      expect(await text(await ask(port))).toContain('"finished"');
      expect(ends).toEqual(["finished"]);
    },
  );

  test("allows its connection no more silence than before once it is over", async () => {
    const { port, server, ends } = await serve(() => pagesOf([[finished(0)]]), { format: "ndjson" });
    server.setTimeout(150);
    const socket = connect(port, "127.0.0.1");
    const closed = once(socket.resume(), "close");
    // The second request came in before the first was answered, and is never answered itself.
    socket.write("GET / HTTP/1.1\r\nhost: x\r\n\r\nGET /silent HTTP/1.1\r\nhost: x\r\n\r\n");
    await closed;
    expect(ends).toEqual(["finished"]);
  });

  test("that is cut for its time or the service's end does not say that all is over", async () => {
    const stopping = new AbortController();
    const options = { format: "sse", signal: stopping.signal } as const;
    const inTime = await serve(silence, { format: "sse", timeMsMax: 50 });
    const stopped = await serve(silence, options);
    const bodies = [text(await ask(inTime.port)), text(await ask(stopped.port))];
    stopping.abort();
    for (const body of await Promise.all(bodies)) expect(readSse(body)).toEqual([]);
    expect([...inTime.ends, ...stopped.ends]).toEqual(["cut", "cut"]);
    expect(readSse(await send([[finished(0)]], options))).toEqual([]);
  });

  test("whose events cannot be read breaks off, so that nobody takes it for whole", async () => {
    const follow = async function* (): AsyncGenerator<readonly RunEvent[]> {
      yield [printed(0, "first")];
      await sleep(50);
      throw new StepvaultError("ERR_DATABASE", "Cannot read events: away");
    };
    const { port, ends } = await serve(follow, { format: "ndjson" });
    await expect(text(await ask(port))).rejects.toThrow(/aborted|terminated/);
    await expect.poll(() => ends).toEqual([expect.objectContaining({ code: "ERR_DATABASE" })]);
  });
});

describe("a viewer's connection", () => {
  test("that goes away ends reading for it", async () => {
    const { port, ends } = await serve(silence, { format: "sse" });
    const response = await ask(port);
    await once(response, "data");
    response.destroy();
    await expect.poll(() => ends).toEqual(["left"]);
  });

  /** Pages without end, and how many were taken. */
  function endless(textBytes: number): { follow: Follow; taken: () => number } {
    let taken = 0;
    const follow = async function* (): AsyncGenerator<readonly RunEvent[]> {
      for (;;) {
        await Promise.resolve();
        taken += 1;
        yield [printed(taken, "x".repeat(textBytes))];
      }
    };
    return { follow, taken: () => taken };
  }

  test.each([
    ["large", 64 * 1024],
    ["small", 512],
  ])("that takes nothing of %s events is waited for, asks for no more, and is cut in the end", async (_, textBytes) => {
    const { follow, taken } = endless(textBytes);
    const { port, ends } = await serve(follow, { format: "sse", heartbeatMs: 20, stallMsMax: 700 });
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nhost: loopback\r\n\r\n");
    socket.pause();
    await sleep(400);
    const before = taken();
    await sleep(150);
    // Kernels hold a few megabytes on both sides of a connection.
    expect(taken()).toBe(before);
    expect(before * textBytes).toBeLessThan(25 * 1024 * 1024);
    await expect.poll(() => ends, { timeout: 5_000 }).toEqual(["left"]);
    socket.destroy();
  });

  test.each([
    ["large", 200, 50_000],
    ["small", 20_000, 500],
  ])("that reads %s events slowly gets each once, in order, with beats in between", async (_, count, textBytes) => {
    const pages = Array.from({ length: count }, (__, i) => [printed(i, `${i} ${"x".repeat(textBytes)}`)]);
    const { port, ends } = await serve(() => pagesOf([...pages, [finished(count)]]), { format: "sse", heartbeatMs: 1 });
    const response = await ask(port);
    let body = "";
    for await (const chunk of response.setEncoding("utf8")) {
      body += chunk as string;
      if (Math.random() < 0.2) await sleep(2);
    }
    const seqs = readSse(body).map(({ event, data }) => (event === "end" ? "end" : (JSON.parse(data) as RunEvent).seq));
    expect(seqs).toEqual([...Array.from({ length: count + 1 }, (_, i) => i), "end"]);
    expect(ends).toEqual(["finished"]);
  });

  test("of a thousand that take nothing costs one page and not a thousand", async () => {
    const page = [printed(0, "x".repeat(1024 * 1024))];
    const stalled = Array.from({ length: 1_000 }, () => new PassThrough({ highWaterMark: 1 }));
    const before = process.memoryUsage();
    const stopping = new AbortController();
    const sending = stalled.map(
      async (stream) =>
        await sendEvents(stream, () => pagesOf([page, page]), {
          format: "sse",
          signal: stopping.signal,
          stallMsMax: 300,
        }),
    );
    await sleep(100);
    const after = process.memoryUsage();
    expect(after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed).toBeLessThan(64 * 1024 * 1024);
    expect(new Set(await Promise.all(sending))).toEqual(new Set(["left"]));
  });
});
