/**
 * Calls operations by their name: which method and path, what may be given and what comes back are in the generated tables, so
 * that nothing of a route is written by hand. A project's id is the key's own unless another one is given.
 */
import type { Answer } from "./answer.ts";
import type { Operations } from "./api-types.ts";
import { randomId } from "./ids.ts";
import { StepvaultClientError } from "./errors.ts";
import { credentialOf, type Key } from "./key.ts";
import { operations } from "./operations.ts";
import { pathOf } from "./operation-path.ts";
import { ownFields } from "./own.ts";
import type { Query } from "./path.ts";
import type { Settings } from "./settings.ts";
import { type Credential, type RequestOptions, send } from "./transport.ts";

/** An operation that answers, as opposed to one that streams. */
export type OperationId = {
  [Id in keyof Operations]: Operations[Id] extends { answer: unknown } ? Id : never;
}[keyof Operations];

/** An operation that answers with a page of a list. */
export type ListId = {
  [Id in OperationId]: Operations[Id] extends { answer: Page<unknown>; query: { cursor?: string | undefined } }
    ? Id
    : never;
}[OperationId];

export type AnswerOf<Id extends OperationId> = Operations[Id]["answer"];
export type ItemOf<Id extends ListId> = Operations[Id]["answer"]["data"][number];

/** What may be given with every call. */
export interface CallOptions {
  /** Such as `If-Match`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** The client makes one where the operation takes one. */
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** What an operation takes: the names in its path, `query` and `body`. */
export type Given<Id extends keyof Operations> = InPath<Operations[Id]> &
  InQuery<Operations[Id]> &
  InBody<Operations[Id]> &
  CallOptions;

type InPath<Operation> = Operation extends { path: infer Path }
  ? Readonly<Omit<Path, "projectId">> &
      (Path extends { projectId: string } ? { readonly projectId?: string | undefined } : unknown)
  : unknown;
type InQuery<Operation> = Operation extends { query: infer Fields }
  ? object extends Fields
    ? { readonly query?: Readonly<Fields> | undefined }
    : { readonly query: Readonly<Fields> }
  : unknown;
type InBody<Operation> = Operation extends { body: infer Body } ? { readonly body: Body } : unknown;

/** The last argument of a call; it may be left out where nothing must be given. */
export type Rest<Fields> = object extends Fields ? [given?: Fields] : [given: Fields];

interface Page<Item> {
  readonly data: readonly Item[];
  readonly pagination: { readonly cursor?: string | undefined; readonly hasMore: boolean };
}

interface Named extends CallOptions {
  readonly query?: Query | undefined;
  readonly body?: unknown;
}

/** What a value in JSON can be. */
export const jsonTypes = ["array", "object", "string", "number", "boolean", "null"] as const;
type JsonType = (typeof jsonTypes)[number];

const pageSizeMax = 100;

export class Caller {
  readonly key: Key;
  readonly settings: Settings;

  constructor(key: Key, settings: Settings) {
    this.key = key;
    this.settings = settings;
  }

  credential(): Credential {
    return credentialOf(this.key);
  }

  /** The same for requests that together have no more time than this. */
  within(timeMs: number): Caller {
    const { limits } = this.settings;
    const timeMsMax = Math.min(limits.timeMsMax, timeMs);
    return new Caller(this.key, { ...this.settings, limits: { ...limits, timeMsMax } });
  }

  async request<Body>(request: RequestOptions): Promise<Answer<Body>> {
    return await send<Body>(this.settings, this.credential(), request);
  }

  /** Throws what a request throws. */
  async call<Id extends OperationId>(id: Id, ...[given]: Rest<Given<Id>>): Promise<AnswerOf<Id>> {
    const { body } = await this.request<AnswerOf<Id>>(this.#requestOf(id, given));
    return body;
  }

  /** All entries of a list, page after page; `limit` of the query is the most that are wanted. */
  async *list<Id extends ListId>(id: Id, ...[given]: Rest<Given<Id>>): AsyncGenerator<ItemOf<Id>, void> {
    const { query = {}, ...more } = (given ?? {}) as Named;
    let left = (query["limit"] as number | undefined) ?? Infinity;
    let cursor = query["cursor"] as string | undefined;
    while (left > 0) {
      const limit = Math.min(left, pageSizeMax);
      const { body: page } = await this.request<Page<ItemOf<Id>>>(
        this.#requestOf(id, { ...more, query: { ...query, limit, cursor } }),
      );
      need(id, page, { data: ["array"], pagination: ["object"] });
      for (const item of page.data.slice(0, left)) {
        yield item;
        more.signal?.throwIfAborted();
      }
      left -= page.data.length;
      const next = page.pagination.cursor;
      if (!page.pagination.hasMore || next === undefined) return;
      // It would go on for ever.
      if (next === cursor)
        throw new StepvaultClientError(
          "ERR_CLIENT_ANSWER",
          `Cannot list: the answer of ${id} cannot be used, it leads to the same page again`,
        );
      cursor = next;
    }
  }

  #requestOf(id: OperationId, given: unknown): RequestOptions {
    const own = ownFields((given ?? {}) as Named & Readonly<Record<string, unknown>>);
    const row = Object.hasOwn(operations, id) ? operations[id] : undefined;
    if (row === undefined) throw refused("the API has no such operation");
    const [method, short = "", mark] = row.split(" ");
    const path = pathOf(short).replaceAll(/\{(\w+)\}/g, (_, name: string) => {
      const part = own[name] ?? (name === "projectId" ? this.key.project : undefined);
      if ((typeof part === "string" && part !== "") || typeof part === "number") return encodeURIComponent(part);
      throw refused(`${id} needs ${name}, which is neither text nor a number`);
    });
    const { query, body, headers, signal, idempotencyKey = mark === "once" ? randomId() : undefined } = own;
    const repeatable = mark === "anew" ? false : undefined;
    return {
      method: method as RequestOptions["method"],
      path,
      query,
      body,
      headers,
      signal,
      idempotencyKey,
      repeatable,
    };
  }
}

/**
 * Throws ERR_CLIENT_ANSWER unless the answer has these fields, each of one of these types: something in front of the server may
 * have answered instead of it.
 */
export function need(id: OperationId, answer: unknown, fields: Readonly<Record<string, readonly JsonType[]>>): void {
  for (const [name, types] of Object.entries(fields)) {
    const value = (answer as Readonly<Record<string, unknown>> | null | undefined)?.[name];
    const type = value === null ? "null" : Array.isArray(value) ? "array" : typeof value;
    if (types.some((one) => one === type)) continue;
    const why = `the answer of ${id} cannot be used, its ${name} is missing`;
    throw new StepvaultClientError("ERR_CLIENT_ANSWER", `Cannot read what the server says: ${why}`);
  }
}

function refused(why: string): StepvaultClientError {
  return new StepvaultClientError("ERR_CLIENT_REQUEST", `Cannot send the request: ${why}`);
}
