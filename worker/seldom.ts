/**
 * Says the same only now and then: while a server is away a queue's workers report it a hundred times a second, and a log that
 * is full of it fills the disk. What is said first is said at once; what is held back is counted and said with the next.
 */

/** Of different things; beyond that the count begins anew. */
const kindsMax = 100;

/** `say` gets each thing, and how often it was reported since it was last said. */
export function seldom(pauseMs: number, say: (error: Error, times: number) => void): (error: Error) => void {
  const kinds = new Map<string, { saidAtMs: number; times: number }>();
  return (error) => {
    const nowMs = performance.now();
    const kind = kinds.get(error.message);
    const times = (kind?.times ?? 0) + 1;
    if (kind !== undefined && nowMs - kind.saidAtMs < pauseMs) {
      kind.times = times;
      return;
    }
    if (kinds.size >= kindsMax) kinds.clear();
    kinds.set(error.message, { saidAtMs: nowMs, times: 0 });
    say(error, times);
  };
}
