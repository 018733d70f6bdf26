/** How a run ended, as a command shows it: the output on stdout, the error on stderr, the exit code by whose fault it was. */
import type { RunResult } from "../protocol/job.ts";
import { dataJson, type EventPrinter, exitCodeOf, exitCodes, note } from "./terminal.ts";

/** `shown`: the printer has shown the error already. */
export function showResult(
  result: RunResult,
  { printer, json, shown = false }: { printer: EventPrinter; json: boolean; shown?: boolean },
): number {
  const { error, output = null } = result;
  if (json || error === undefined) dataJson(json ? result : output, 2);
  if (error === undefined) return exitCodes.success;
  if (!json && !shown) {
    printer.show({ kind: "error", error });
    if (error.stack !== undefined) note(error.stack);
  }
  return exitCodeOf(error.fault);
}
