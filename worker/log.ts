/**
 * The service's own log: pino, JSON lines on stderr. Every line passes through the redactors of all runs that are under
 * way or ended a moment ago, so that a value cannot reach the log by way of an error that some library made.
 */
import { destination, type Logger, pino } from "pino";
import type { Redactor } from "../redaction/redactor.ts";

/** Lines about a run may still be written a little after it ended. */
const keptAfterRunMs = 30_000;

export interface ServiceLog {
  readonly logger: Logger;
  /** Redacts every line with this redactor until `release`, and a while longer. */
  hold(redactor: Redactor): { release(): void };
}

export function createServiceLog(
  level: string,
  stream: { write(line: string): void } = destination({ fd: 2, sync: true }),
): ServiceLog {
  const redactors = new Set<Redactor>();
  const redactLine = (line: string): string => {
    try {
      let redacted = line;
      for (const redactor of redactors) redacted = redactor.text(redacted);
      return redacted;
    } catch {
      return '{"level":50,"msg":"a line was withheld: it could not be redacted"}\n';
    }
  };
  const logger = pino({ level, base: null, hooks: { streamWrite: redactLine } }, stream);
  return {
    logger,
    hold(redactor) {
      redactors.add(redactor);
      return { release: () => void setTimeout(() => redactors.delete(redactor), keptAfterRunMs).unref() };
    },
  };
}
