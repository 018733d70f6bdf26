/**
 * A route is data: where it is, what it takes and gives, who may call it, and a function. The frame checks the request,
 * finds out who asks and encodes the answer, so that a route is nothing but the call that it makes; and the OpenAPI document
 * is made of the same data.
 */
import type { Writable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { z } from "zod";
import type { Vault } from "../vault/vault.ts";
import type { ApiParts } from "./parts.ts";
import type { Principal } from "./principal.ts";

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What a route's function gets. `Access` decides whether somebody is known to ask. */
export interface RouteContext<Params, Query, Body, Access extends "principal" | "public"> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  /** Acts as the one who asks; undefined on public routes, where `parts` has the operator's. */
  readonly vault: Access extends "principal" ? Vault : undefined;
  readonly principal: Access extends "principal" ? Principal : undefined;
  /** What the API was made from. */
  readonly parts: ApiParts;
  readonly request: FastifyRequest;
  /** For headers, and a status other than the lowest of `responses`; the answer itself is returned. */
  readonly reply: FastifyReply;
  /** Aborts when the caller goes away or the API stops. */
  readonly signal: AbortSignal;
  /** Of a route that is `idempotent`. */
  readonly idempotencyKey: string | undefined;
}

/** Writes the body of an answer that is a stream, once its head is on its way, to its end. What it throws breaks it off. */
export type StreamAnswer = (body: Writable) => Promise<void>;

type Output<Schema> = Schema extends z.ZodType ? z.output<Schema> : undefined;

/** Nothing may be given by a function that returns nothing. */
type Given<Answer> = undefined extends Answer ? Answer | void : Answer;

type Responses = Readonly<Record<number, z.ZodType>>;

export interface RouteDefinition<
  Params extends z.ZodType | undefined,
  Query extends z.ZodType | undefined,
  Body extends z.ZodType | undefined,
  Answers extends Responses,
  Access extends "principal" | "public",
> {
  readonly method: Method;
  /** Below /v1, with `:name` for what `params` has. */
  readonly path: `/v1/${string}`;
  /** Unique; what generated clients call it. */
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tag: string;
  readonly params?: Params;
  /** A strict object; without one the route takes no query. */
  readonly query?: Query;
  /** A strict object; without one the route takes no body. */
  readonly body?: Body;
  /** The answer's schema by status; the lowest is the usual one. `noContent` for 204. */
  readonly responses: Answers;
  readonly access: Access;
  /** Whether it takes the header Idempotency-Key. */
  readonly idempotent?: boolean;
  /** False where a PUT or DELETE does something new each time it is sent: clients must not send it again by themselves. */
  readonly repeatable?: false;
  /** The type of an answer that is a stream, of which `responses` has one line or event. */
  readonly stream?: "text/event-stream" | "application/x-ndjson";
  /** Less or more than STEPVAULT_API_BODY_BYTES_MAX. */
  readonly bodyBytesMax?: number;
  /** Asked before a byte of the body is read, where this may be large; what it throws is the answer. */
  readonly admit?: (
    context: Pick<RouteContext<Output<Params>, unknown, unknown, Access>, "params" | "vault" | "principal">,
  ) => Promise<void>;
  readonly handler: (
    context: RouteContext<Output<Params>, Output<Query>, Output<Body>, Access>,
  ) => Promise<Given<z.output<Answers[keyof Answers & number]>> | StreamAnswer>;
}

/** A route of whatever types: what the frame handles. */
export type Route = Omit<
  RouteDefinition<
    z.ZodType | undefined,
    z.ZodType | undefined,
    z.ZodType | undefined,
    Responses,
    "principal" | "public"
  >,
  "admit" | "handler"
> & {
  readonly admit?: (context: never) => Promise<void>;
  readonly handler: (context: never) => Promise<unknown>;
};

/** Checks a route's types; its schemas decide what the handler gets and gives. */
export function defineRoute<
  Answers extends Responses,
  Access extends "principal" | "public",
  Params extends z.ZodType | undefined = undefined,
  Query extends z.ZodType | undefined = undefined,
  Body extends z.ZodType | undefined = undefined,
>(definition: RouteDefinition<Params, Query, Body, Answers, Access>): Route {
  return definition;
}
