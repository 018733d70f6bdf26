/**
 * The one way to PostgreSQL: an external server by URL, or the embedded one in the data directory. Opening it brings the
 * schema `stepvault` up to date. Pools are made here and nowhere else, so that every pool has an error listener, is
 * closed with the database, and no other folder sees the URL or the password.
 */
import { setTimeout as delay } from "node:timers/promises";
import {
  Client,
  type ClientConfig,
  DatabaseError,
  Pool,
  type PoolClient,
  type QueryConfig,
  type QueryResult,
  type QueryResultRow,
} from "pg";
import type { Config } from "../protocol/config.ts";
import { StepvaultError } from "../protocol/error.ts";
import { openEmbedded } from "./embedded.ts";
import { mayBeStale, PreparedClient } from "./prepared-client.ts";
import { toDatabaseError } from "./errors.ts";
import { Listener, type ListenHandlers } from "./listener.ts";
import { migrate } from "./migrations.ts";
import type { DatabaseLog, PlannedAnew, Queryable, Server, Transactional } from "./server.ts";

const connectMsMax = 10_000;
const poolCloseMsMax = 5_000;
/**
 * A connection may be dead without having been told. A statement that has no answer for so long is given up, and its
 * connection with it: sooner than others take a worker for dead that could not say that it lives.
 */
const answerMsMax = 20_000;
/** What a process locks that stands still in the midst of a transaction, others wait for; PostgreSQL ends it after so long. */
const idleInTransactionMsMax = 60_000;
/** Of statements of migrations. */
const migrationMsMax = 6 * 3_600_000;
const listenerKeepAliveMs = 5_000;

export interface PoolOptions {
  /** The schema that unqualified names mean. */
  readonly schema: string;
  readonly connectionsMax: number;
  readonly applicationName?: string;
}

const silentLog: DatabaseLog = { info() {}, warn() {} };

/**
 * Opens PostgreSQL and applies outstanding migrations. Throws ERR_DATABASE. Signals are the caller's: call `close()`,
 * which also stops the embedded server unless another Stepvault process uses it.
 */
export async function openDatabase(config: Config, log: DatabaseLog = silentLog): Promise<Database> {
  const server =
    config.databaseUrl === undefined
      ? await openEmbedded(config.dataDir, log)
      : { clientConfig: externalClientConfig(config.databaseUrl), close: async () => {} };
  const database = new Database(server, config.databaseConnectionsMax, log);
  try {
    await migrate(
      { transaction: async (work) => await database.transaction(work, { answerMsMax: migrationMsMax }) },
      log,
    );
    return database;
  } catch (error) {
    await database.close();
    throw toDatabaseError("open the database", error);
  }
}

export class Database implements Queryable, Transactional {
  /** Pool whose unqualified names mean the schema `stepvault`. */
  readonly pool: Pool;
  readonly #server: Server;
  readonly #log: DatabaseLog;
  readonly #pools = new Set<Pool>();
  readonly #listeners = new Set<Listener>();
  #closed: Promise<void> | undefined;

  constructor(server: Server, connectionsMax: number, log: DatabaseLog) {
    this.#server = server;
    this.#log = log;
    this.pool = this.createPool({ schema: "stepvault", connectionsMax });
  }

  /** Another pool on the same server, such as the queue's. `close()` ends it too, should its user have not. */
  createPool({ schema, connectionsMax, applicationName = "stepvault" }: PoolOptions): Pool {
    const { clientConfig } = this.#server;
    const own = `-c search_path=${schema} -c idle_in_transaction_session_timeout=${idleInTransactionMsMax}`;
    const pool = new Pool({
      ...clientConfig,
      Client: PreparedClient,
      options: clientConfig.options === undefined ? own : `${clientConfig.options} ${own}`,
      application_name: applicationName,
      max: connectionsMax,
      keepAlive: true,
      // Idle connections must not keep a process alive that has nothing else to do.
      allowExitOnIdle: true,
      connectionTimeoutMillis: connectMsMax,
      query_timeout: answerMsMax,
    });
    // A dropped idle connection is replaced by the pool; without a listener it would end the process.
    pool.on("error", (error) => this.#log.warn(toDatabaseError("keep an idle connection", error).message));
    this.#pools.add(pool);
    return pool;
  }

  /** Hears a channel's notifications on a connection of its own, until the listener or the database is closed. */
  listen(channel: string, handlers: ListenHandlers): Listener {
    const makeClient = (): Client =>
      new Client({
        ...this.#server.clientConfig,
        application_name: "stepvault-listener",
        keepAlive: true,
        keepAliveInitialDelayMillis: listenerKeepAliveMs,
        connectionTimeoutMillis: connectMsMax,
      });
    const listener = new Listener(makeClient, channel, handlers);
    this.#listeners.add(listener);
    return listener;
  }

  /** Runs one statement on any connection; once more when a migration has made its plan stale. Throws ERR_DATABASE. */
  async query<Row extends QueryResultRow>(
    statement: string | PlannedAnew,
    values: unknown[] = [],
  ): Promise<QueryResult<Row>> {
    try {
      if (typeof statement !== "string") return await this.pool.query<Row>({ ...statement });
      return await this.pool.query<Row>(statement, values).catch(async (error: unknown) => {
        if (!mayBeStale(error)) throw error;
        return await this.pool.query<Row>({ text: statement, values });
      });
    } catch (error) {
      throw toDatabaseError("run a statement", error);
    }
  }

  /** Runs `work` between BEGIN and COMMIT on one connection; any error rolls back and is thrown on, PostgreSQL's as ERR_DATABASE. */
  async transaction<T>(
    work: (client: Queryable) => Promise<T>,
    { answerMsMax: patienceMs }: { answerMsMax?: number } = {},
  ): Promise<T> {
    const client = await this.pool.connect().catch((error: unknown) => {
      throw toDatabaseError("begin a transaction", error);
    });
    // While a client is checked out, the pool's own listener does not hear it.
    client.on("error", ignore);
    let broken = false;
    try {
      await client.query("begin");
      const result = await work(patienceMs === undefined ? client : patient(client, patienceMs));
      await client.query("commit");
      return result;
    } catch (error) {
      if (isSilent(error)) broken = true;
      else await client.query("rollback").catch(() => (broken = true));
      throw isOurs(error) ? error : toDatabaseError("finish a transaction", error);
    } finally {
      client.off("error", ignore);
      client.release(broken);
    }
  }

  /** Ends every pool and lets go of the server. Later calls wait for the first. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#listeners].map(async (listener) => await listener.close()));
    const ended = Promise.all([...this.#pools].filter((pool) => !pool.ended).map((pool) => pool.end()));
    // A connection that its user never gave back would keep `end()` waiting for ever.
    await Promise.race([ended, delay(poolCloseMsMax, undefined, { ref: false })]);
    await this.#server.close();
  }
}

function ignore(): void {}

/** Errors that pg did not make: ours, or a bug in `work`, which must not be reported as the database's fault. */
function isOurs(error: unknown): boolean {
  return !(error instanceof DatabaseError) && !(error instanceof Error && ("errno" in error || isLost(error)));
}

function isLost(error: Error): boolean {
  return /^(Connection terminated|Client has encountered a connection error|timeout exceeded|Query read timeout)/.test(
    error.message,
  );
}

/** There is no use in asking such a connection for anything more. */
function isSilent(error: unknown): boolean {
  const { message, cause } = (error ?? {}) as { message?: unknown; cause?: unknown };
  return message === "Query read timeout" || (error instanceof StepvaultError && isSilent(cause));
}

/** The same client, with another time for an answer. */
function patient(client: PoolClient, answerMs: number): Queryable {
  return {
    query: async <Row extends QueryResultRow>(statement: string | PlannedAnew, values?: unknown[]) => {
      const whole = typeof statement === "string" ? { text: statement, values } : statement;
      const config: object = { ...whole, query_timeout: answerMs };
      return await client.query<Row>(config as QueryConfig);
    },
  };
}

/** Takes `options` out of the URL: pg would let them replace ours, and with them our search_path. */
function externalClientConfig(databaseUrl: string): ClientConfig {
  const [address, query = ""] = databaseUrl.split("?", 2);
  const parameters = new URLSearchParams(query);
  const options = parameters.get("options");
  parameters.delete("options");
  const connectionString = parameters.size === 0 ? address : `${address}?${parameters.toString()}`;
  return { connectionString, ...(options === null ? {} : { options }) };
}
