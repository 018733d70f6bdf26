/**
 * Follows a run: its events in order, each once, over as many connections as that takes. Each connection goes on behind the
 * last event that was handed out, and the run's numbers, which have no gaps, prove that none was left out. The key goes in a
 * header as always, which is why this is `fetch` and no EventSource.
 */
import type { RunEvent, RunResult } from "./api-types.ts";
import type { Caller } from "./caller.ts";
import { StepvaultClientError } from "./errors.ts";
import { Patience, wait, waitMsBefore } from "./pauses.ts";
import { readEvents } from "./server-sent-events.ts";
import { receive } from "./transport.ts";

export interface StreamOptions {
  /** The number of the last event that was seen; without one the stream begins with the first. */
  readonly after?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface RunStreamParts {
  readonly runId: string;
  /** Submits the run, where that is wanted. */
  readonly begin: () => Promise<unknown>;
  readonly result: () => Promise<RunResult>;
}

const reconnectMsMax = 30_000;

/** What happened in a run, as it happens. Can be iterated again, from where it began. */
export class RunStream implements AsyncIterable<RunEvent> {
  readonly runId: string;
  readonly #caller: Caller;
  readonly #parts: RunStreamParts;
  readonly #options: StreamOptions;
  #begun: Promise<unknown> | undefined;

  constructor(caller: Caller, parts: RunStreamParts, options: StreamOptions) {
    this.runId = parts.runId;
    this.#caller = caller;
    this.#parts = parts;
    this.#options = options;
  }

  /** Waits for the run's end and gives how it ended. Throws what submitting, waiting and the signal throw. */
  async result(): Promise<RunResult> {
    await this.#begin();
    return await this.#parts.result();
  }

  /**
   * Ends after the event `finished`. When the server is away it waits, longer each time, and throws once the client's
   * `timeMsMax` has gone by without an answer. Throws what a request throws, and ERR_CLIENT_ANSWER when events are missing.
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<RunEvent, void> {
    const { signal, after } = this.#options;
    await this.#begin();
    const patience = new Patience(this.#caller.settings.limits.timeMsMax, { signal });
    const place: Place = { next: after === undefined ? 0 : after + 1, over: false, answered: false, reconnectMs: 0 };
    for (let fruitless = 0; !place.over; fruitless += 1) {
      const from = place.next;
      place.answered = false;
      try {
        yield* this.#connection(place, () => patience.renew());
      } catch (error) {
        await patience.bear(error);
      }
      if (place.next > from) fruitless = 0;
      // A server that stops cuts all its viewers at once, and they must not all be back in the same moment.
      if (!place.over && place.answered) await wait(place.reconnectMs + waitMsBefore(fruitless), signal);
    }
  }

  /** The events of one connection, from the place on, which it moves. */
  async *#connection(place: Place, onAnswer: () => void): AsyncGenerator<RunEvent, void> {
    const { key, settings } = this.#caller;
    const { signal } = this.#options;
    const bytes = receive(settings, this.#caller.credential(), {
      path: `/v1/projects/${encodeURIComponent(key.project)}/runs/${encodeURIComponent(this.runId)}/events/stream`,
      headers: place.next === 0 ? {} : { "last-event-id": String(place.next - 1) },
      signal,
      onAnswer: (status) => {
        onAnswer();
        place.answered = true;
        place.over = status === 204;
      },
    });
    const onRetry = (timeMs: number): void => void (place.reconnectMs = Math.min(timeMs, reconnectMsMax));
    for await (const { type, data } of readEvents(bytes, { charactersMax: settings.limits.answerBytesMax, onRetry })) {
      if (type !== "message") continue;
      const event = this.#read(data);
      if (event.seq < place.next) continue;
      if (event.seq > place.next) throw unusable(`event ${event.seq} came where ${place.next} is next`);
      place.next += 1;
      place.over = event.kind === "finished";
      yield event;
      // The next one may have come with it: nothing is asked for that would notice.
      signal?.throwIfAborted();
      if (place.over) return;
    }
  }

  #read(data: string): RunEvent {
    let event: RunEvent | null = null;
    try {
      event = JSON.parse(data) as RunEvent | null;
    } catch {
      // Told below: the parser's own error quotes what it read.
    }
    if (Number.isSafeInteger(event?.seq) && String(event?.runId).toLowerCase() === this.runId.toLowerCase())
      return event!;
    throw unusable("it has something else than events of the run");
  }

  async #begin(): Promise<void> {
    this.#begun ??= this.#parts.begin();
    try {
      await this.#begun;
    } catch (error) {
      // What is tried again then submits the same run.
      this.#begun = undefined;
      throw error;
    }
  }
}

interface Place {
  /** The number of the next event. */
  next: number;
  /** Nothing comes any more. */
  over: boolean;
  /** By the connection at hand: not that the server is away. */
  answered: boolean;
  /** As the server says. */
  reconnectMs: number;
}

function unusable(why: string): StepvaultClientError {
  return new StepvaultClientError("ERR_CLIENT_ANSWER", `Cannot follow the run: the answer cannot be used, ${why}`);
}
