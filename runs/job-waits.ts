/**
 * Waiting for jobs to end. BullMQ tells of each end once, and that gets lost: before its reader has begun, while the
 * reader's connection is away, and often when PostgreSQL commits two events in another order than it numbered them. So
 * jobs that somebody waits for are also looked at, every second after the first one, two at a time however many there
 * are: a lost message costs a second at most, and waiting never asks more of the database than it can answer. Knows
 * neither runs nor BullMQ.
 */
import { setTimeout as sleep } from "node:timers/promises";

/** Between two looks at a job: the first, and the longest after doubling. */
const lookPauseMsMin = 200;
const lookPauseMsMax = 1_000;
const looksAtOnceMax = 2;
/** What a timer can hold; it would fire at once beyond. */
const timerMsMax = 2 ** 31 - 1;

export type JobEnd = { readonly value: unknown } | { readonly error: Error };

/** How a job ended; undefined while it has not. Rejects when the queue does not answer. */
export type LookAtJob = (jobId: string) => Promise<JobEnd | undefined>;

type Tell = (end: JobEnd) => void;

interface WaitedJob {
  readonly waits: Set<Tell>;
  pauseMs: number;
  lookAt: number;
}

export class JobWaits {
  #look: LookAtJob;
  #jobs = new Map<string, WaitedJob>();
  #looking = false;
  #over: Error | undefined;

  constructor(look: LookAtJob) {
    this.#look = look;
  }

  /** The value of a job, once it has one. Rejects with the error that it ended in, or with `late` when time is up. */
  async wait(jobId: string, { timeoutMs, late }: { timeoutMs: number; late: () => Error }): Promise<unknown> {
    if (this.#over !== undefined) throw this.#over;
    return await new Promise((resolve, reject) => {
      const tell: Tell = (end) => {
        clearTimeout(timer);
        this.#remove(jobId, tell);
        if ("error" in end) reject(end.error);
        else resolve(end.value);
      };
      const timer = setTimeout(() => tell({ error: late() }), Math.min(timeoutMs, timerMsMax));
      // Before the first look, so that no end falls between the two.
      this.#add(jobId, tell);
      void this.#look(jobId).then(
        (end) => end && tell(end),
        (error: unknown) => tell({ error: error as Error }),
      );
      void this.#lookAgain();
    });
  }

  /** Tells those who wait for a job how it ended. */
  tell(jobId: string, end: JobEnd): void {
    for (const tell of this.#jobs.get(jobId)?.waits ?? []) tell(end);
  }

  /** Ends every wait, also those to come. */
  close(error: Error): void {
    this.#over = error;
    for (const jobId of this.#jobs.keys()) this.tell(jobId, { error });
  }

  #add(jobId: string, tell: Tell): void {
    const job = this.#jobs.get(jobId) ?? { waits: new Set(), pauseMs: 0, lookAt: 0 };
    job.waits.add(tell);
    job.pauseMs = lookPauseMsMin;
    job.lookAt = performance.now() + lookPauseMsMin;
    this.#jobs.set(jobId, job);
  }

  #remove(jobId: string, tell: Tell): void {
    const waits = this.#jobs.get(jobId)?.waits;
    waits?.delete(tell);
    if (waits?.size === 0) this.#jobs.delete(jobId);
  }

  /** Looks at every job that is waited for, time and again, until there is none. */
  async #lookAgain(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    while (this.#jobs.size > 0) {
      // Each wait has a timer that keeps the process alive; this one need not.
      await sleep(lookPauseMsMin, undefined, { ref: false });
      const now = performance.now();
      const due = [...this.#jobs].filter(([, { lookAt }]) => lookAt <= now).values();
      const looks = Array.from({ length: looksAtOnceMax }, async () => {
        for (const [jobId, job] of due) await this.#lookOnceMore(jobId, job);
      });
      await Promise.all(looks);
    }
    this.#looking = false;
  }

  async #lookOnceMore(jobId: string, job: WaitedJob): Promise<void> {
    if (job.waits.size === 0) return;
    try {
      const end = await this.#look(jobId);
      if (end !== undefined) this.tell(jobId, end);
    } catch {
      // A queue that is away for a moment ends no wait; time does.
    }
    job.pauseMs = Math.min(job.pauseMs * 2, lookPauseMsMax);
    job.lookAt = performance.now() + job.pauseMs;
  }
}
