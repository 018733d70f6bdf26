/**
 * Turns what pg and the operating system throw into ERR_DATABASE. The message holds the action, the SQLSTATE or errno
 * and names of tables and constraints; PostgreSQL's own text is left out because it may quote a row or a parameter.
 * The original stays as `cause` for the service's log, which goes through the redactor.
 */
import { StepvaultError } from "../protocol/error.ts";

/** An error of the database as ERR_DATABASE; errors that are already ours pass through. `action` completes "Cannot …". */
export function toDatabaseError(action: string, error: unknown): StepvaultError {
  if (error instanceof StepvaultError) return error;
  const { table, constraint } = (error ?? {}) as { table?: unknown; constraint?: unknown };
  const facts = [sqlState(error) ?? "connection lost"];
  if (typeof table === "string") facts.push(`table ${table}`);
  if (typeof constraint === "string") facts.push(`constraint ${constraint}`);
  return new StepvaultError("ERR_DATABASE", `Cannot ${action}: PostgreSQL answers ${facts.join(", ")}`, {
    cause: error,
  });
}

/** The five-character SQLSTATE of a PostgreSQL error, or the errno of a failed connection; also of a wrapped one. */
export function sqlState(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  if (error instanceof StepvaultError) return sqlState(cause);
  return typeof code === "string" ? code : undefined;
}
