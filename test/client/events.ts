/** A run's events as the API sends them, for servers of tests that send a stream as they like. */
import type { ServerResponse } from "node:http";
import type { RunEvent } from "../../client/api-types.ts";
import type { RunStream } from "../../client/client.ts";

export const runId = "01890a5d-ac96-774b-bcce-b302099a8060";

export function eventOf(seq: number): RunEvent {
  return { runId, seq, time: "2026-01-01T00:00:00.000Z", kind: "stdout", text: `line ${seq}` };
}

export function finishedOf(seq: number): RunEvent {
  return { runId, seq, time: "2026-01-01T00:00:00.000Z", kind: "finished", status: "succeeded" };
}

export function asText(events: readonly unknown[]): string {
  return events.map((event) => `id: ${(event as RunEvent).seq}\ndata: ${JSON.stringify(event)}\n\n`).join("");
}

/** The head of a stream, and these events. */
export function begin(response: ServerResponse, events: readonly unknown[] = []): ServerResponse {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  response.write(`retry: 1\n\n${asText(events)}`);
  return response;
}

/** The numbers of all events of a stream. */
export async function numbersOf(stream: RunStream | AsyncIterable<RunEvent>): Promise<number[]> {
  const numbers: number[] = [];
  for await (const { seq } of stream) numbers.push(seq);
  return numbers;
}

/** 0 to `count - 1`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}
