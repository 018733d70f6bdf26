/**
 * `performance`: the time since the run began, marks and measures. The clock is the isolate's own, since asking the host
 * for the time would be a call that a step can flood. Entries are kept up to a bound. Runs inside the isolate.
 */
import { exposeGlobal } from "./globals.ts";
import { late } from "./late.ts";

/** Milliseconds since 1970, finer than Date.now gives them. */
const clock = (): number => Number(late.instant().epochNanoseconds / 1_000n) / 1_000;

let timeOrigin = 0;
let latest = 0;

/** Milliseconds since the run began; never goes back, even when the machine's clock does. */
export function now(): number {
  latest = Math.max(latest, clock() - timeOrigin);
  return latest;
}

class GuestPerformanceEntry {
  readonly name: string;
  readonly entryType: string;
  readonly startTime: number;
  readonly duration: number;
  readonly detail: unknown;

  constructor(entryType: string, name: string, time: { startTime: number; duration: number; detail: unknown }) {
    this.name = name;
    this.entryType = entryType;
    this.startTime = time.startTime;
    this.duration = time.duration;
    this.detail = time.detail;
  }
  toJSON(): object {
    const { name, entryType, startTime, duration, detail } = this;
    return { name, entryType, startTime, duration, detail };
  }
}

interface MeasureOptions {
  start?: unknown;
  end?: unknown;
  duration?: unknown;
  detail?: unknown;
}

const marksMax = 10_000;

/** Sets the time of the run's beginning: an isolate may have waited for its run. */
export function startClock(): void {
  timeOrigin = clock();
  latest = 0;
}

export function installPerformance(): void {
  let entries: GuestPerformanceEntry[] = [];
  const add = (entry: GuestPerformanceEntry): GuestPerformanceEntry => {
    if (entries.length < marksMax) entries.push(entry);
    return entry;
  };
  const timeOf = (mark: unknown): number => {
    if (typeof mark === "number") return mark;
    const found = entries.findLast(({ entryType, name }) => entryType === "mark" && name === String(mark));
    if (found === undefined) throw new SyntaxError(`The "${String(mark)}" performance mark has not been set`);
    return found.startTime;
  };
  const clear = (type: string, name: unknown): void => {
    entries = entries.filter(
      (entry) => entry.entryType !== type || (name !== undefined && entry.name !== String(name)),
    );
  };

  exposeGlobal("performance", {
    get timeOrigin() {
      return timeOrigin;
    },
    now: () => now(),
    mark: (name: unknown, { startTime, detail = null }: { startTime?: number; detail?: unknown } = {}) =>
      add(new GuestPerformanceEntry("mark", String(name), { startTime: startTime ?? now(), duration: 0, detail })),
    measure(name: unknown, from?: unknown, to?: unknown) {
      const options: MeasureOptions = typeof from === "object" && from !== null ? from : { start: from, end: to };
      const span = options.duration === undefined ? undefined : Number(options.duration);
      const end =
        options.end === undefined
          ? span === undefined
            ? now()
            : timeOf(options.start ?? 0) + span
          : timeOf(options.end);
      const startTime = options.start === undefined ? (span === undefined ? 0 : end - span) : timeOf(options.start);
      const detail = options.detail ?? null;
      return add(new GuestPerformanceEntry("measure", String(name), { startTime, duration: end - startTime, detail }));
    },
    getEntries: () => [...entries],
    getEntriesByType: (type: unknown) => entries.filter(({ entryType }) => entryType === type),
    getEntriesByName: (name: unknown, type?: unknown) =>
      entries.filter((entry) => entry.name === name && (type === undefined || entry.entryType === type)),
    clearMarks: (name?: unknown) => clear("mark", name),
    clearMeasures: (name?: unknown) => clear("measure", name),
    toJSON: () => ({ timeOrigin }),
  });
  exposeGlobal("PerformanceEntry", GuestPerformanceEntry);
}
