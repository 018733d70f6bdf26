/**
 * Asks for runs as programs do that know what they want: over HTTP with an idempotency key, again and again until the answer is
 * a yes, at whichever API answers; some in batches, some straight into the queue. Remembers what was promised.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { createId, hashedId } from "../../protocol/ids.ts";
import type { RunQueue } from "../../runs/queue.ts";
import { makeChain, makeWanted, type Wanted } from "./programs.ts";
import type { Random } from "./random.ts";

const answerMsMax = 20_000;
const pauseMs = 400;

export interface LoadParts {
  readonly projectId: string;
  readonly key: string;
  /** Of the APIs. */
  readonly addresses: readonly string[];
  readonly effectsPort: number;
  readonly queue: RunQueue;
  readonly queueName: string;
  readonly random: Random;
}

/** A run that was promised: the API said yes, or BullMQ took the job. */
export interface Accepted extends Wanted {
  readonly token: string;
  readonly runId: string;
  readonly jobId: string | undefined;
}

interface Question {
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** Answers that are no yes and nothing wrong. */
  readonly expected?: readonly number[];
}

export class Load {
  readonly accepted: Accepted[] = [];
  /** Every token that anybody may have a run for, also where no answer came. */
  readonly tokens = new Set<string>();
  readonly faults: string[] = [];
  /** Answers that were no yes, by what they were. */
  readonly refusals = new Map<string, number>();
  onAccepted: (run: Accepted) => void = () => {};
  #parts: LoadParts;
  #stopped = new AbortController();
  #under = new Set<Promise<void>>();

  constructor(parts: LoadParts) {
    this.#parts = parts;
  }

  /** How many requests have no answer yet. */
  get waiting(): number {
    return this.#under.size;
  }

  /** One more piece of the mix: mostly one run, at times a batch, a chain or a job of an orchestrator's own. */
  more(): void {
    const chance = this.#parts.random.next();
    if (chance < 0.06) this.#begin(this.#chain());
    else if (chance < 0.1) this.#begin(this.#batch());
    else if (chance < 0.2) this.#begin(this.#own());
    else this.one();
  }

  /** One run, of this kind if it is given. */
  one(kind?: string): void {
    const wanted = this.#make(kind);
    this.#begin(this.#submit(wanted));
  }

  own(): void {
    this.#begin(this.#own());
  }

  chain(): void {
    this.#begin(this.#chain());
  }

  /** No new requests; those under way go on until they have an answer, or for so long. */
  async settle(timeMsMax: number): Promise<void> {
    await Promise.race([Promise.all(this.#under), sleep(timeMsMax, undefined, { ref: false })]);
    this.#stopped.abort();
    await Promise.all(this.#under);
  }

  /** Asks an API, any; undefined when none answers in time or answers with a fault of its own. */
  async ask(
    path: string,
    { body, headers = {}, expected = [] }: Question = {},
  ): Promise<{ status: number; body: unknown } | undefined> {
    const address = this.#parts.random.pick(this.#parts.addresses);
    try {
      const response = await fetch(`${address}/v1/projects/${this.#parts.projectId}${path}`, {
        method: body === undefined ? "GET" : "POST",
        headers: {
          authorization: `Bearer ${this.#parts.key}`,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        signal: AbortSignal.timeout(answerMsMax),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const answer: unknown = await response.json();
      if (response.status < 300 || expected.includes(response.status)) return { status: response.status, body: answer };
      this.#refused(`${response.status} ${String((answer as { code?: unknown }).code)}`);
      if (response.status < 500 && response.status !== 429)
        this.faults.push(`a request was refused: ${response.status} ${String((answer as { code?: unknown }).code)}`);
      return undefined;
    } catch (error) {
      this.#refused((error as Error).name === "TimeoutError" ? "no answer in time" : "no connection");
      return undefined;
    }
  }

  #refused(what: string): void {
    this.refusals.set(what, (this.refusals.get(what) ?? 0) + 1);
  }

  #begin(work: Promise<void>): void {
    const done = work
      .catch((error: unknown) => void this.faults.push(`a request failed: ${(error as Error).message}`))
      .finally(() => this.#under.delete(done));
    this.#under.add(done);
  }

  #make(kind?: string): Wanted & { token: string } {
    const token = this.#token();
    const { effectsPort, random } = this.#parts;
    return { ...makeWanted({ token, effectsPort, random }, kind), token };
  }

  #token(): string {
    const token = `request-${createId()}`;
    this.tokens.add(token);
    return token;
  }

  async #submit(wanted: Wanted & { token: string }): Promise<void> {
    const answer = await this.#untilYes("/runs", wanted.job, wanted.token);
    if (answer === undefined) return;
    const { runId } = answer as { runId: string };
    this.#promised({ ...wanted, runId, jobId: undefined });
    if (wanted.cancelAfterMs === undefined) return;
    await sleep(wanted.cancelAfterMs);
    await this.#untilYes(`/runs/${runId}/cancel`, {}, undefined);
  }

  async #batch(): Promise<void> {
    const wanted = Array.from({ length: 8 }, () => this.#make("quick"));
    const answer = await this.#untilYes("/runs/batch", { runs: wanted.map(({ job }) => job) }, this.#token());
    if (answer === undefined) return;
    const { runs } = answer as { runs: { runId: string }[] };
    for (const [at, { runId }] of runs.entries()) this.#promised({ ...wanted[at]!, runId, jobId: undefined });
  }

  async #chain(): Promise<void> {
    const tokens = [this.#token(), this.#token(), this.#token()] as const;
    const runIds = [createId(), createId(), createId()] as const;
    const wanted = makeChain(tokens, runIds);
    const answer = await this.#untilYes("/runs/batch", { runs: wanted.map(({ job }) => job) }, this.#token());
    if (answer === undefined) return;
    for (const [at, run] of wanted.entries())
      this.#promised({ ...run, token: tokens[at]!, runId: runIds[at]!, jobId: undefined });
  }

  /** As an orchestrator that has only BullMQ. */
  async #own(): Promise<void> {
    const { queue, queueName, projectId } = this.#parts;
    const wanted = this.#make(this.#parts.random.pick(["quick", "effect", "printing", "python"]));
    const jobId = `own-${wanted.token}`;
    while (!this.#stopped.signal.aborted) {
      try {
        await queue.addRaw(jobId, { ...wanted.job, projectId });
        this.#promised({ ...wanted, runId: hashedId("job", queueName, jobId), jobId });
        await this.#keepInQueue(wanted, jobId);
        return;
      } catch {
        this.#refused("the queue did not take a job");
        await this.#pause();
      }
    }
  }

  /**
   * A failover may lose what Redis took last. Who added a job and finds neither it nor its run adds it again, under the same
   * id: that it was there before changes nothing.
   */
  async #keepInQueue(wanted: Wanted, jobId: string): Promise<void> {
    const { queue, queueName, projectId } = this.#parts;
    const runId = hashedId("job", queueName, jobId);
    while (!this.#stopped.signal.aborted) {
      if ((await this.ask(`/runs/${runId}`, { expected: [404] }))?.status === 200) return;
      await sleep(1_000, undefined, { signal: this.#stopped.signal }).catch(() => {});
      await queue.addRaw(jobId, { ...wanted.job, projectId }).catch(() => {});
    }
  }

  #promised(run: Accepted): void {
    this.accepted.push(run);
    this.onAccepted(run);
  }

  async #untilYes(path: string, body: object, key: string | undefined): Promise<unknown> {
    while (!this.#stopped.signal.aborted) {
      const refusedBefore = this.faults.length;
      const answer = await this.ask(path, { body, headers: key === undefined ? {} : { "idempotency-key": key } });
      if (answer !== undefined) {
        // Now and then the answer is lost on its way: the same again must give the same.
        if (key !== undefined && this.#parts.random.next() < 0.1) await this.#again(path, { body, key, answer });
        return answer.body;
      }
      if (this.faults.length > refusedBefore) return undefined;
      await this.#pause();
    }
    return undefined;
  }

  async #again(
    path: string,
    { body, key, answer }: { body: object; key: string; answer: { body: unknown } },
  ): Promise<void> {
    const second = await this.ask(path, { body, headers: { "idempotency-key": key } });
    if (second !== undefined && idsIn(second.body) !== idsIn(answer.body))
      this.faults.push("the same request gave another run");
  }

  async #pause(): Promise<void> {
    await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal: this.#stopped.signal }).catch(() => {});
  }
}

function idsIn(answer: unknown): string {
  const { runId, runs = [] } = answer as { runId?: string; runs?: { runId: string }[] };
  return [runId, ...runs.map((run) => run.runId)].join();
}
