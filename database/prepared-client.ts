/**
 * A connection that prepares each statement with values under a name at its first use, so that PostgreSQL keeps its plan: one
 * of a run's statements takes longer to plan than to run. The names are the process's, the plans each connection's. After a
 * migration a plan may not fit its tables any more; then the statement fails once on each connection, and gets a new name.
 */
import { Client, DatabaseError, type QueryConfig, type QueryResult } from "pg";

/** Our code and the queue's have some hundred; what is made up beyond that is sent as it is. */
const namesMax = 500;

const names = new Map<string, string>();
let namesGiven = 0;

type Callback = (error: Error | undefined, result: QueryResult) => void;
type AnyQuery = (config: unknown, values?: unknown, callback?: unknown) => unknown;

export class PreparedClient extends Client {
  /** As pg's own. A statement that is given as an object, or without values, is sent as it is. */
  override query = ((text: unknown, values?: unknown, callback?: unknown): unknown => {
    const plain = super.query.bind(this) as AnyQuery;
    // What has no values may be several statements, which cannot be prepared.
    if (typeof text !== "string" || !Array.isArray(values) || values.length === 0) return plain(text, values, callback);
    const name = nameOf(text);
    if (name === undefined) return plain(text, values, callback);
    const config: QueryConfig = { name, text, values };
    const noteError = (error: unknown): void => {
      if (mayBeStale(error) && names.get(text) === name) names.delete(text);
    };
    if (typeof callback === "function") {
      const done: Callback = (error, result) => {
        noteError(error);
        (callback as Callback)(error, result);
      };
      return plain(config, done);
    }
    return (plain(config) as Promise<QueryResult>).catch((error: unknown) => {
      noteError(error);
      throw error;
    });
  }) as Client["query"];
}

/** Whether a statement may have failed as its tables have changed since it was prepared: found before anything was done. */
export function mayBeStale(error: unknown): boolean {
  return error instanceof DatabaseError && /^(0A000|42...)$/.test(error.code ?? "");
}

function nameOf(text: string): string | undefined {
  const known = names.get(text);
  if (known !== undefined || namesGiven >= namesMax) return known;
  namesGiven += 1;
  const name = `s${namesGiven}`;
  names.set(text, name);
  return name;
}
