/**
 * Load and faults together, and what came of it. A storm takes a deployment that runs, asks it for runs, follows some, hurts
 * it as it is told, and once all is quiet draws up the ledger. How long it takes until runs end again is measured per fault.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Deployment } from "./deployment.ts";
import { type Fault, type FaultContext, faults } from "./faults.ts";
import { drawUp, isClean, type Ledger, quiet } from "./ledger.ts";
import { type LeakReport, searchEverything } from "./leaks.ts";
import { Load } from "./load.ts";
import type { Random } from "./random.ts";
import { Viewers } from "./viewers.ts";

const quietMsMax = 120_000;
const recoveryMsMax = 120_000;
const viewedOneIn = 4;

export interface Recovery {
  readonly fault: string;
  /** Until a run that was asked for after the fault had succeeded; undefined when none did in time. */
  readonly ms: number | undefined;
}

export interface StormReport {
  readonly ledger: Ledger;
  readonly leaks: LeakReport;
  readonly recoveries: readonly Recovery[];
  /** What went wrong besides the ledger. */
  readonly faults: readonly string[];
  readonly refusals: Readonly<Record<string, number>>;
  readonly exits: Readonly<Record<string, readonly string[]>>;
}

export class Storm {
  readonly load: Load;
  readonly viewers: Viewers;
  readonly recoveries: Recovery[] = [];
  readonly faults: string[] = [];
  #deployment: Deployment;
  #random: Random;
  #accepted = 0;

  constructor(deployment: Deployment, random: Random) {
    this.#deployment = deployment;
    this.#random = random;
    const { projectId, key, addresses, effects, queue } = deployment;
    this.viewers = new Viewers({ projectId, key, addresses, random });
    this.load = new Load({
      projectId,
      key,
      addresses,
      random,
      queue,
      queueName: queue.name,
      effectsPort: effects.port,
    });
    this.load.onAccepted = ({ runId, jobId }) => {
      this.#accepted += 1;
      // A job of an orchestrator's own is a run only once a worker has seen it.
      if (jobId === undefined && this.#accepted % viewedOneIn === 0) this.viewers.follow(runId);
    };
  }

  /** Does it, and waits until the deployment serves again. */
  async hurt(name: string, more: Pick<FaultContext, "lastsMs"> = {}): Promise<void> {
    const fault: Fault | undefined = faults[name];
    if (fault === undefined) throw new Error(`no such fault: ${name}`);
    try {
      await fault.inject({ deployment: this.#deployment, random: this.#random, ...more });
    } catch (error) {
      this.faults.push(`${name}: ${(error as Error).message}`);
    }
    await this.#probe(name);
  }

  /** No more load; waits until all is quiet. */
  async end(): Promise<StormReport> {
    await this.load.settle(60_000);
    const left = await quiet(this.#deployment.database, quietMsMax);
    if (left !== 0) this.faults.push(`${left} run(s) have not ended within ${quietMsMax} ms`);
    await this.viewers.settle(20_000);
    const { database, queue, effects, workers, apis } = this.#deployment;
    const ledger = await drawUp({
      database,
      queue,
      accepted: this.load.accepted,
      tokens: this.load.tokens,
      viewed: this.viewers.all,
      effects: effects.counts,
    });
    return {
      ledger,
      leaks: await searchEverything(this.#deployment),
      recoveries: this.recoveries,
      faults: [...this.faults, ...this.load.faults, ...this.viewers.faults],
      refusals: Object.fromEntries(this.load.refusals),
      exits: Object.fromEntries([...workers, ...apis].map(({ name, exits }) => [name, exits])),
    };
  }

  async #probe(fault: string): Promise<void> {
    const began = performance.now();
    const step = { language: "javascript", code: "return 1" };
    while (performance.now() - began < recoveryMsMax) {
      const answer = await this.load.ask("/runs?wait=10", { body: { step } });
      const { status } = (answer?.body ?? {}) as { status?: string };
      if (status === "succeeded") {
        this.recoveries.push({ fault, ms: performance.now() - began });
        return;
      }
      await sleep(200);
    }
    this.recoveries.push({ fault, ms: undefined });
    this.faults.push(`${fault}: no run has succeeded within ${recoveryMsMax} ms of it`);
  }
}

/** Whether a storm has left nothing wrong. */
export function isWell({ ledger, leaks, faults: wrong }: StormReport): boolean {
  return isClean(ledger) && leaks.found.length === 0 && leaks.cores.length === 0 && wrong.length === 0;
}

const shown = 8;

/** The ledger for people. */
export function reportText(report: StormReport): string {
  const { ledger, leaks, recoveries, faults: wrong, refusals, exits } = report;
  const pairs = (counts: Readonly<Record<string, number>>): string =>
    Object.entries(counts)
      .sort(([, a], [, b]) => b - a)
      .map(([name, count]) => `${name} ${count}`)
      .join(", ") || "none";
  const rows: [string, string | number][] = [
    ["accepted", ledger.accepted],
    ["ended", ledger.ended],
    ...Object.entries(ledger.wrong).map(([kind, list]): [string, number] => [kind, list.length]),
    ["values found", leaks.found.length],
    ["core files", leaks.cores.length],
    ["other faults", wrong.length],
    ["by status", pairs(ledger.byStatus)],
    ["by error", pairs(ledger.byError)],
    ["events", ledger.events],
    ["effects", ledger.effects],
    ["viewers", `${ledger.viewers.viewers} over ${ledger.viewers.connections} connections`],
    ["searched", `${leaks.files} files, ${(leaks.bytes / 1e6).toFixed(0)} MB`],
    ["not at once", pairs(refusals)],
    ["ends of processes", pairs(Object.fromEntries(Object.entries(exits).map(([name, list]) => [name, list.length])))],
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const found = [
    ...Object.entries(ledger.wrong),
    ["values", leaks.found] as const,
    ["cores", leaks.cores] as const,
    ["faults", wrong] as const,
  ];
  return [
    ...rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`),
    "  recovery after",
    ...recoveryRows(recoveries),
    ...found.flatMap(([kind, list]) => list.slice(0, shown).map((what) => `  WRONG (${kind}) ${what}`)),
  ].join("\n");
}

function recoveryRows(recoveries: readonly Recovery[]): string[] {
  return [...Map.groupBy(recoveries, ({ fault }) => fault)]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([fault, same]) => {
      const times = same.map(({ ms }) => ms ?? Infinity).sort((a, b) => a - b);
      const figure = (ms: number): string => (ms === Infinity ? "never" : `${(ms / 1_000).toFixed(1)} s`);
      const median = times[Math.floor((times.length - 1) / 2)]!;
      return `    ${fault.padEnd(42)} ${String(same.length).padStart(3)} times, median ${figure(median)}, longest ${figure(times.at(-1)!)}`;
    });
}
