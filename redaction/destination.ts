/**
 * A destination for loggers that write lines, such as pino: masks each line and hands it on, as JSON if it was JSON.
 *
 * A line is masked as text, the cheapest way that misses nothing. Only where that breaks its JSON, as a mask in the
 * place of a number does, is it parsed and masked as a value. A line that cannot be masked is not written. It knows
 * loggers by the methods that they call.
 */

export type LogDestination = {
  write(line: string): unknown;
  flush?(callback?: (error?: Error) => void): void;
  flushSync?(): void;
  end?(): void;
};

/** `writable` makes pino take it for a stream when it is the only argument, not for options, which would bypass it. */
export type RedactingDestination = Required<LogDestination> & { readonly writable: true };

export type LineOperations = { text(line: string): string; value(value: unknown): unknown };

const WITHHELD = '{"level":50,"msg":"a line was withheld: it could not be redacted"}\n';

export function createDestination(target: LogDestination, operations: LineOperations): RedactingDestination {
  return {
    writable: true,
    write: (line) => target.write(maskedLine(line, operations)),
    flush(callback) {
      if (target.flush === undefined) callback?.();
      else target.flush(callback);
    },
    flushSync: () => target.flushSync?.(),
    end: () => target.end?.(),
  };
}

function maskedLine(line: string, operations: LineOperations): string {
  try {
    const masked = operations.text(line);
    if (masked === line || isJson(masked) || !isJson(line)) return masked;
    return `${JSON.stringify(operations.value(JSON.parse(line)))}\n`;
  } catch {
    return WITHHELD;
  }
}

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}
