/**
 * Viewers of runs, as pages have them: server-sent events, from where they stopped, at whichever API answers. Each keeps what
 * it was shown, so that it can be compared with what the database holds in the end.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { RunEvent } from "../../protocol/job.ts";
import type { Random } from "./random.ts";

const silenceMsMax = 45_000;

export interface ViewerParts {
  readonly projectId: string;
  readonly key: string;
  readonly addresses: readonly string[];
  readonly random: Random;
}

export interface Viewed {
  readonly runId: string;
  readonly events: RunEvent[];
  /** It was told that there is no more. */
  over: boolean;
  connections: number;
}

export class Viewers {
  readonly all: Viewed[] = [];
  readonly faults: string[] = [];
  #parts: ViewerParts;
  #stopped = new AbortController();
  #under = new Set<Promise<void>>();

  constructor(parts: ViewerParts) {
    this.#parts = parts;
  }

  /** Follows a run to its end, or until all is over. */
  follow(runId: string): void {
    const viewed: Viewed = { runId, events: [], over: false, connections: 0 };
    this.all.push(viewed);
    const done = this.#followToEnd(viewed).finally(() => this.#under.delete(done));
    this.#under.add(done);
  }

  /** Waits for those that still look, for so long. */
  async settle(timeMsMax: number): Promise<void> {
    await Promise.race([Promise.all(this.#under), sleep(timeMsMax, undefined, { ref: false })]);
    this.#stopped.abort();
    await Promise.all(this.#under);
  }

  async #followToEnd(viewed: Viewed): Promise<void> {
    while (!viewed.over && !this.#stopped.signal.aborted) {
      viewed.connections += 1;
      await this.#followOnce(viewed).catch(() => {});
      if (!viewed.over) await sleep(300, undefined, { signal: this.#stopped.signal }).catch(() => {});
    }
  }

  async #followOnce(viewed: Viewed): Promise<void> {
    const { projectId, key, addresses, random } = this.#parts;
    const { runId, events } = viewed;
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, this.#stopped.signal]);
    const last = events.at(-1)?.seq;
    const response = await fetch(`${random.pick(addresses)}/v1/projects/${projectId}/runs/${runId}/events/stream`, {
      headers: { authorization: `Bearer ${key}`, ...(last === undefined ? {} : { "last-event-id": String(last) }) },
      signal: AbortSignal.any([signal, AbortSignal.timeout(silenceMsMax * 4)]),
    });
    if (response.status === 204) {
      viewed.over = true;
      return;
    }
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      if (response.status < 500 && response.status !== 429) this.faults.push(`a viewer got ${response.status}`);
      return;
    }
    // Some leave in the middle, as people do.
    const leaveAfter = random.next() < 0.3 ? random.between(1, 10) : Infinity;
    let text = "";
    let silence = setTimeout(() => gone.abort(), silenceMsMax);
    try {
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        clearTimeout(silence);
        silence = setTimeout(() => gone.abort(), silenceMsMax);
        text += chunk;
        const parts = text.split("\n\n");
        text = parts.pop() ?? "";
        for (const part of parts) this.#take(part, viewed);
        if (events.length - (last ?? -1) > leaveAfter) gone.abort();
      }
    } finally {
      clearTimeout(silence);
    }
  }

  #take(part: string, viewed: Viewed): void {
    const fields = new Map(
      part.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]),
    );
    if (fields.get("event") === "end") viewed.over = true;
    const data = fields.get("data");
    if (data === undefined || fields.get("event") === "end") return;
    const event = JSON.parse(data) as RunEvent;
    if (String(event.seq) !== fields.get("id")) this.faults.push("an event has another number than its id");
    viewed.events.push(event);
  }
}
