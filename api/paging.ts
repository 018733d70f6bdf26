/**
 * Pages of lists. A cursor is the sort key of the last entry that was shown, in base64url: opaque, and validated like
 * everything else that a caller sends. It grants nothing: what a page shows is asked of the vault each time.
 */
import { z } from "zod";
import type { PageQuery } from "../protocol/http/common.ts";
import { Refusal } from "./refusal.ts";

export interface Page<Item> {
  readonly data: Item[];
  readonly pagination: { readonly cursor?: string; readonly hasMore: boolean };
}

/** The cursor for a sort key. */
export function encodeCursor(key: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(key), "utf8").toString("base64url");
}

/** The sort key that a cursor holds. Throws ERR_CURSOR_INVALID for anything that `encodeCursor` did not make of such a key. */
export function decodeCursor<Key>(cursor: string, schema: z.ZodType<Key>): Key {
  const parsed = schema.safeParse(parseJson(Buffer.from(cursor, "base64url").toString("utf8")));
  if (parsed.success && encodeCursor(parsed.data as readonly (string | number)[]) === cursor) return parsed.data;
  throw new Refusal("ERR_CURSOR_INVALID", "Cannot read the cursor: it is not one that this list gave", {
    errors: [{ pointer: "/query/cursor", detail: "must be the cursor of the page before" }],
  });
}

/** A page of what a statement gave that was asked for one row more than fits. */
export function pageOfRows<Item>(
  rows: readonly Item[],
  limit: number,
  keyOf: (last: Item) => readonly (string | number)[],
): Page<Item> {
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  if (rows.length <= limit || last === undefined) return { data, pagination: { hasMore: false } };
  return { data, pagination: { cursor: encodeCursor(keyOf(last)), hasMore: true } };
}

const idKey = z.tuple([z.uuid()]);

/** A page of a whole list, ordered by id, which for ids of ours is the order of creation. */
export function pageById<Item extends { readonly id: string }>(
  items: readonly Item[],
  { limit, cursor }: PageQuery,
): Page<Item> {
  const after = cursor === undefined ? "" : decodeCursor(cursor, idKey)[0];
  const rest = items.filter(({ id }) => id > after).sort((a, b) => (a.id < b.id ? -1 : 1));
  return pageOfRows(rest, limit, ({ id }) => [id]);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
