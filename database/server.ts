/**
 * The small interfaces that the parts of database/ share, and that other folders name in their signatures.
 */
import type pg from "pg";

/** What the service's logger offers; pino's fits. */
export interface DatabaseLog {
  info(message: string): void;
  warn(message: string): void;
}

/** A statement that is planned each time, with its values: for one whose best plan depends on them. */
export interface PlannedAnew {
  readonly text: string;
  readonly values: unknown[];
}

/** Anything that runs a statement: the Database, a transaction's client, a pool. */
export interface Queryable {
  query<Row extends pg.QueryResultRow>(
    statement: string | PlannedAnew,
    values?: unknown[],
  ): Promise<pg.QueryResult<Row>>;
}

export interface Transactional {
  transaction<T>(work: (client: Queryable) => Promise<T>): Promise<T>;
}

/** Runs around a change, in its transaction; may give what was made before in the place of the change. */
export type Around<T> = (client: Queryable, change: () => Promise<T>) => Promise<T>;

/** A PostgreSQL to connect to, and how to let go of it. */
export interface Server {
  readonly clientConfig: pg.ClientConfig;
  close(): Promise<void>;
}
