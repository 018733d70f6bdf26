/**
 * A database that tells how each statement is carried out: every statement that goes through it is explained and analysed
 * first, as it stands and with its values, and undone again. So what is judged is what the code sends.
 */
import type { QueryResult, QueryResultRow } from "pg";
import type { Database } from "../../../database/connection.ts";
import type { PlannedAnew, Queryable } from "../../../database/server.ts";

/** How often the rows of a table were looked at by one statement, whether they were wanted or not. */
export interface Look {
  readonly table: string;
  readonly rows: number;
  /** From its beginning to its end. */
  readonly whole: boolean;
}

export interface Plan {
  readonly text: string;
  readonly looks: readonly Look[];
}

interface PlanNode {
  readonly "Node Type": string;
  readonly "Relation Name"?: string;
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly "Rows Removed by Index Recheck"?: number;
  readonly Plans?: readonly PlanNode[];
}

export class WatchedDatabase {
  readonly #database: Database;
  #plans: Plan[] = [];

  constructor(database: Database) {
    this.#database = database;
  }

  /** What was sent since the last call. */
  take(): Plan[] {
    return this.#plans.splice(0);
  }

  async query<Row extends QueryResultRow>(
    statement: string | PlannedAnew,
    values: unknown[] = [],
  ): Promise<QueryResult<Row>> {
    return await this.transaction(async (client) => await client.query<Row>(statement, values));
  }

  async transaction<T>(work: (client: Queryable) => Promise<T>): Promise<T> {
    return await this.#database.transaction(async (client) => {
      const query = async <Row extends QueryResultRow>(statement: string | PlannedAnew, values: unknown[] = []) => {
        const planned = typeof statement === "string" ? { text: statement, values } : statement;
        if (/^\s*(select|insert|update|delete|with)\b/.test(planned.text)) await this.#explain(client, planned);
        return typeof statement === "string"
          ? await client.query<Row>(statement, values)
          : await client.query<Row>(statement);
      };
      return await work({ query });
    });
  }

  async #explain(client: Queryable, { text, values }: PlannedAnew): Promise<void> {
    await client.query("savepoint before");
    const { rows } = await client.query<{ "QUERY PLAN": [{ Plan: PlanNode }] }>(
      `explain (analyze, format json) ${text}`,
      values,
    );
    await client.query("rollback to savepoint before");
    this.#plans.push({ text, looks: nodesOf(rows[0]!["QUERY PLAN"][0].Plan).flatMap(lookOf) });
  }
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

function lookOf(node: PlanNode): Look[] {
  const { "Relation Name": table, "Actual Loops": loops } = node;
  // What an index alone finds is looked at by the node above it.
  if (table === undefined || loops === 0 || !node["Node Type"].endsWith(" Scan")) return [];
  const { "Rows Removed by Filter": filtered = 0, "Rows Removed by Index Recheck": rechecked = 0 } = node;
  const rows = Math.ceil((node["Actual Rows"] + filtered + rechecked) * loops);
  return [{ table, rows, whole: node["Node Type"] === "Seq Scan" }];
}
