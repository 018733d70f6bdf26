/** Runs with events for the tests of the live feed, written as a worker does, and what a viewer of one has seen. */
import type { Database } from "../../database/connection.ts";
import type { Queryable } from "../../database/server.ts";
import { createId } from "../../protocol/ids.ts";
import type { RunEvent, RunEventBody } from "../../protocol/job.ts";
import { DatabaseEventSource, type EventSource } from "../../runs/event-source.ts";
import type { LiveFeed } from "../../runs/live-feed.ts";
import { createOrganization, createProject } from "../../vault/tenancy/tenancy.ts";

/** A run and the number of its next event. */
export interface WrittenRun {
  readonly id: string;
  nextSeq: number;
}

/** Writes as a worker does, with statements of its own: what is tested is reading. */
export class FeedRuns {
  #database: Database;
  #projectId: string;

  constructor(database: Database, projectId: string) {
    this.#database = database;
    this.#projectId = projectId;
  }

  static async open(database: Database): Promise<FeedRuns> {
    const organization = await createOrganization(database, "Feed");
    return new FeedRuns(database, (await createProject(database, organization.id, "Feed")).id);
  }

  async create(count = 1): Promise<WrittenRun[]> {
    const ids = Array.from({ length: count }, () => createId());
    await this.#database.query(
      `insert into runs (id, project_id, status, worker_id) select id, $2, 'running', 'worker' from unnest($1::uuid[]) as id`,
      [ids, this.#projectId],
    );
    return ids.map((id) => ({ id, nextSeq: 0 }));
  }

  async createOne(): Promise<WrittenRun> {
    return (await this.create())[0] as WrittenRun;
  }

  async print(run: WrittenRun, texts: readonly string[]): Promise<void> {
    await this.#write(
      run,
      texts.map((text) => ({ kind: "stdout", text })),
    );
  }

  async finish(run: WrittenRun): Promise<void> {
    await this.#database.transaction(async (client) => {
      await client.query("update runs set status = 'succeeded', ended_at = now() where id = $1", [run.id]);
      await this.#write(run, [{ kind: "finished", status: "succeeded" }], client);
    });
  }

  async #write(run: WrittenRun, bodies: readonly RunEventBody[], client: Queryable = this.#database): Promise<void> {
    await client.query(
      `insert into run_events (run_day, run_id, seq, time, kind, body)
       select r.day, r.id, e.seq + $2 - 1, $3, e.kind, e.body
       from runs r, unnest($4::text[], $5::json[]) with ordinality as e (kind, body, seq) where r.id = $1`,
      [run.id, run.nextSeq, new Date(), bodies.map(({ kind }) => kind), bodies.map((body) => JSON.stringify(body))],
    );
    run.nextSeq += bodies.length;
  }
}

/** A viewer that reads as fast as it can. */
export class Viewer {
  readonly seqs: number[] = [];
  readonly delaysMs: number[] = [];
  readonly ended: Promise<void>;
  #stop = new AbortController();

  constructor(feed: LiveFeed, runId: string, from = 0, onEvents: (events: readonly RunEvent[]) => unknown = () => {}) {
    this.ended = this.#watch(feed, runId, from, onEvents);
    this.ended.catch(() => {});
  }

  /** Goes away, and says after which event. */
  async leave(): Promise<number> {
    this.#stop.abort();
    await this.ended;
    return this.seqs.at(-1) ?? -1;
  }

  async #watch(
    feed: LiveFeed,
    runId: string,
    from: number,
    onEvents: (events: readonly RunEvent[]) => unknown,
  ): Promise<void> {
    for await (const events of feed.follow(runId, { from, signal: this.#stop.signal })) {
      const now = Date.now();
      for (const { seq, time } of events) {
        this.seqs.push(seq);
        this.delaysMs.push(now - Date.parse(time));
      }
      await onEvents(events);
      // Who has left wants nothing more: what came with it would be counted twice.
      if (this.#stop.signal.aborted) return;
    }
  }
}

export const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** The database's events, with a count of statements, and a switch that takes the database away. */
export class CountedSource implements EventSource {
  reads = 0;
  looks = 0;
  fault: (() => Promise<never>) | undefined;
  #source: DatabaseEventSource;

  constructor(database: Database) {
    this.#source = new DatabaseEventSource(database);
  }

  read: EventSource["read"] = async (wanted) => {
    this.reads += 1;
    return await (this.fault?.() ?? this.#source.read(wanted));
  };

  tips: EventSource["tips"] = async (positions) => {
    this.looks += 1;
    return await (this.fault?.() ?? this.#source.tips(positions));
  };
}
