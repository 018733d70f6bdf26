/**
 * What the service counts, for /metrics: runs, the queue, sandbox hosts, viewers, and keys that are none. Asked for when somebody
 * reads the figures, and never with a name, an id or a value of a project.
 */
import { Gauge, type Registry } from "prom-client";

/** What is counted, by the part of the service that counts it. */
export interface ServiceCounts {
  /** Runs that this process ended, by their status. */
  readonly runsEnded: Readonly<Record<string, number>>;
  readonly runsUnderWay: number;
  readonly hosts: { readonly hosts: number; readonly idle: number; readonly waiting: number };
  readonly viewers: number;
  /** Things that were presented as keys, by why they are none. */
  readonly strayKeys: Readonly<Record<string, number>>;
  /** Undefined when the queue does not answer. */
  readonly queueWaiting: number | undefined;
}

export function registerServiceMetrics(register: Registry, service: { counts(): Promise<ServiceCounts> }): void {
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: `stepvault_${name}`, help, labelNames, registers: [register] });
  const ended = gauge("runs_ended_total", "Runs that this process ended, by status", ["status"]);
  const underWay = gauge("runs_under_way", "Runs that this process runs now");
  const hosts = gauge("sandbox_hosts", "Sandbox hosts of this process", ["state"]);
  const viewers = gauge("event_viewers", "Viewers that follow a run on this process");
  const strays = gauge("stray_keys_total", "What was presented as a key and is none, by code", ["code"]);
  const waiting = new Gauge({
    name: "stepvault_queue_waiting",
    help: "Jobs of all projects that wait for a worker",
    registers: [],
    // One question answers for all gauges.
    async collect() {
      const counts = await service.counts();
      if (counts.queueWaiting === undefined) this.remove();
      else this.set(counts.queueWaiting);
      for (const [status, runs] of Object.entries(counts.runsEnded)) ended.set({ status }, runs);
      underWay.set(counts.runsUnderWay);
      hosts.set({ state: "all" }, counts.hosts.hosts);
      hosts.set({ state: "idle" }, counts.hosts.idle);
      viewers.set(counts.viewers);
      for (const [code, count] of Object.entries(counts.strayKeys)) strays.set({ code }, count);
    },
  });
  register.registerMetric(waiting);
}
