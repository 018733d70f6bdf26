/** Says on stderr, while long work goes on, what it is and for how long; only where stderr is a terminal, and wiped at the end. */

const pauseMs = 250;

/** Does the work and gives what it gives. */
export async function withProgress<T>(what: string, work: () => Promise<T>): Promise<T> {
  const { stderr } = process;
  if (!stderr.isTTY) return await work();
  const startedAt = performance.now();
  const show = (): void => {
    const seconds = Math.floor((performance.now() - startedAt) / 1_000);
    stderr.write(`\r\u001b[K${what}… ${seconds} s`);
  };
  show();
  const timer = setInterval(show, pauseMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    stderr.write("\r\u001b[K");
  }
}
