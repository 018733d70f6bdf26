/**
 * Pages of a list that is at hand as a whole, in the order of a key that the list chooses: names, times, numbers. What is
 * added meanwhile is on the page where its key belongs, and nothing that stays is left out or shown twice.
 */
import type { z } from "zod";
import type { PageQuery } from "../protocol/http/common.ts";
import { decodeCursor, type Page, pageOfRows } from "./paging.ts";

type Key = readonly (string | number)[];

export interface KeyOrder<Item> {
  /** Different for each entry of the list. */
  readonly keyOf: (item: Item) => Key;
  /** Of the key, as a cursor holds it. */
  readonly schema: z.ZodType<Key>;
  readonly latestFirst?: boolean;
}

/** Throws ERR_CURSOR_INVALID. */
export function pageByKey<Item>(
  items: readonly Item[],
  { limit, cursor }: PageQuery,
  { keyOf, schema, latestFirst = false }: KeyOrder<Item>,
): Page<Item> {
  const after = cursor === undefined ? undefined : decodeCursor(cursor, schema);
  const order = (a: Key, b: Key): number => (latestFirst ? compare(b, a) : compare(a, b));
  const rest = items
    .map((item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => after === undefined || order(key, after) > 0)
    .sort((a, b) => order(a.key, b.key));
  return pageOfRows(
    rest.map(({ item }) => item),
    limit,
    keyOf,
  );
}

function compare(a: Key, b: Key): number {
  const at = a.findIndex((part, index) => part !== b[index]);
  return at === -1 ? 0 : a[at]! < b[at]! ? -1 : 1;
}
