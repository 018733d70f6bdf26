/**
 * Reading server-sent events. Goal: what is read does not depend on how the bytes are cut, and no server can fill the
 * reader's memory. Method: the same text in parts of every size, and texts of the HTML standard's own examples.
 */
import { describe, expect, test } from "vitest";
import { readEvents, type ServerSentEvent } from "../../client/server-sent-events.ts";

async function* inParts(text: string, bytesEach: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  for (let place = 0; place < bytes.length; place += bytesEach) yield bytes.subarray(place, place + bytesEach);
}

async function read(
  text: string,
  { bytesEach = 1_000_000, charactersMax = 1_000 } = {},
): Promise<{ events: ServerSentEvent[]; retries: number[] }> {
  const [events, retries]: [ServerSentEvent[], number[]] = [[], []];
  const onRetry = (timeMs: number): void => void retries.push(timeMs);
  for await (const event of readEvents(inParts(text, bytesEach), { charactersMax, onRetry })) events.push(event);
  return { events, retries };
}

describe("server-sent events", () => {
  test("are the same however the bytes are cut and lines end", async () => {
    const lines = [
      "\uFEFF: hello",
      "retry: 750",
      "",
      "id: 0",
      'data: {"a":"ü😀"}',
      "",
      "data: x",
      "data:y",
      "data",
      "",
    ];
    const more = ["event: end", "data: {}", "", "event: empty", "", "nonsense: 1", ":", "data:  two", "", "data: cut"];
    const expected = [
      { type: "message", data: '{"a":"ü😀"}' },
      { type: "message", data: "x\ny\n" },
      { type: "end", data: "{}" },
      { type: "message", data: " two" },
    ];
    for (const end of ["\n", "\r\n", "\r"]) {
      const text = [...lines, ...more].join(end);
      for (let bytesEach = 1; bytesEach < 40; bytesEach += 1)
        expect(await read(text, { bytesEach })).toEqual({ events: expected, retries: [750] });
    }
  });

  test("of which the end did not come are dropped, as they come again", async () => {
    for (const cut of ["data: 1", "data: 1\n", "data: {"])
      expect((await read(`data: 0\n\n${cut}`)).events).toEqual([{ type: "message", data: "0" }]);
  });

  test("that are larger than allowed are refused before they are whole, in one line or in many", async () => {
    const refused = { code: "ERR_CLIENT_ANSWER" };
    await expect(read(`data: ${"x".repeat(2_000)}`, { bytesEach: 100 })).rejects.toMatchObject(refused);
    await expect(read("data: xxxxxxxxxx\n".repeat(200), { bytesEach: 100 })).rejects.toMatchObject(refused);
    expect((await read(`data: ${"x".repeat(900)}\n\n`.repeat(9), { bytesEach: 100 })).events).toHaveLength(9);
  });

  test("of a megabyte in small parts take no quadratic time", async () => {
    const begin = performance.now();
    const { events } = await read(`data: ${"x".repeat(4_000_000)}\n\n`, { bytesEach: 500, charactersMax: 5_000_000 });
    expect(events[0]?.data).toHaveLength(4_000_000);
    expect(performance.now() - begin).toBeLessThan(5_000);
  });

  test("name a time to wait only in figures", async () => {
    expect((await read("retry: soon\nretry: -1\nretry: 1e9\nretry: 99999999999\nretry:\n\n")).retries).toEqual([]);
  });
});
