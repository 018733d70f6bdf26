/**
 * Puts a route into the app: who asks, and whether the route is for them at all, before a byte of the body is read; then what
 * they sent, by the route's schemas; then the route's function; then its answer, by schema too. An answer that does not fit is
 * a fault of ours, of which nothing is shown.
 */
import type { OutgoingHttpHeaders } from "node:http";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { noContent } from "../protocol/http/common.ts";
import { StepvaultError } from "../protocol/error.ts";
import type { ApiParts } from "./parts.ts";
import type { Principal } from "./principal.ts";
import type { RateLimits } from "./rate-limits.ts";
import { type Mismatch, Refusal } from "./refusal.ts";
import type { Route, RouteContext, StreamAnswer } from "./route.ts";
import { mismatch, mismatchesOf, validatorOf } from "./validation.ts";

export interface RouteParts {
  readonly parts: ApiParts;
  readonly limits: RateLimits;
  /** Aborts when the API stops. */
  readonly closing: AbortSignal;
  /** Who asks, for the log. */
  readonly principals: WeakMap<FastifyRequest, Principal>;
}

/** What a caller can do without being known does not need large bodies. */
const publicBodyBytesMax = 65_536;
/** An embed key is in the hands of whoever opens its page. */
const embedBodyBytesMax = 1_048_576;
export const idempotencyKeyPattern = /^[\x21-\x7e]{1,200}$/;
const nothingSchema = z.strictObject({});

type AnyContext = RouteContext<unknown, unknown, unknown, "principal" | "public">;

export function registerRoute(app: FastifyInstance, route: Route, frame: RouteParts): void {
  const { parts, closing, limits, principals } = frame;
  const readParams = validatorOf(route.params ?? nothingSchema, "path");
  const read = readerOf(route);
  const admit = route.admit as unknown as ((context: Partial<AnyContext>) => Promise<void>) | undefined;
  const usualStatus = Number(Object.keys(route.responses)[0]);
  const handler = route.handler as unknown as (context: AnyContext) => Promise<unknown>;
  app.route({
    method: route.method,
    url: route.path,
    exposeHeadRoute: route.method === "GET" && route.stream === undefined,
    bodyLimit: route.bodyBytesMax ?? (route.access === "public" ? publicBodyBytesMax : parts.config.api.bodyBytesMax),
    async onRequest(request, reply) {
      if (route.access === "public") return await limits.countAnonymous(request);
      const principal = await limits.guardGuesses(request, async () => await parts.authenticate(headOf(request)));
      principals.set(request, principal);
      await limits.countPrincipal(request, principal);
      if (principal.endsAt !== undefined) reply.header("sunset", principal.endsAt.toUTCString());
      if (principal.embed !== undefined) requireSmallBody(request.headers);
      await admit?.({ params: readParams(request.params), vault: parts.vault.as(principal.actor), principal });
    },
    async handler(request, reply) {
      const principal = principals.get(request);
      const context = {
        params: readParams(request.params),
        ...read(request),
        vault: principal === undefined ? undefined : parts.vault.as(principal.actor),
        principal,
        parts,
        request,
        reply,
        signal: AbortSignal.any([closing, goneOf(reply)]),
      };
      reply.code(usualStatus);
      return send(route, await handler(context), reply, parts.log);
    },
  });
}

function headOf(request: FastifyRequest): Parameters<ApiParts["authenticate"]>[0] {
  const { headers, method, url, ip, raw } = request;
  return { headers, rawHeaders: raw.rawHeaders, method, url, ip };
}

/** What the route takes of a request besides its path. The function throws ERR_REQUEST_INVALID. */
function readerOf(route: Route): (request: FastifyRequest) => Pick<AnyContext, "query" | "body" | "idempotencyKey"> {
  const query = validatorOf(route.query ?? nothingSchema, "query");
  const body = route.body === undefined ? requireNoBody : validatorOf(route.body, "body");
  return (request) => {
    const key = route.idempotent === true ? request.headers["idempotency-key"] : undefined;
    if (key !== undefined && !idempotencyKeyPattern.test(String(key)))
      throw mismatch([{ pointer: "/headers/idempotency-key", detail: "must be 1 to 200 visible ASCII characters" }]);
    return {
      query: query(request.query),
      body: body(request.body),
      idempotencyKey: key as string | undefined,
    };
  };
}

/** Throws ERR_BODY_TOO_LARGE, also for a body that does not tell its length before it comes. */
function requireSmallBody(headers: FastifyRequest["headers"]): void {
  const told = headers["transfer-encoding"] === undefined;
  if (told && Number(headers["content-length"] ?? 0) <= embedBodyBytesMax) return;
  throw new Refusal(
    "ERR_BODY_TOO_LARGE",
    `Cannot read the request: with an embed key its body has at most ${embedBodyBytesMax} bytes, which Content-Length tells`,
  );
}

/** An empty object is what some clients send for nothing. */
function requireNoBody(body: unknown): undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === "object" && !Array.isArray(body) && Object.keys(body).length === 0) return undefined;
  throw mismatch([{ pointer: "/body", detail: "must be absent: the route takes no body" }]);
}

function goneOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once("close", () => controller.abort());
  return controller.signal;
}

function send(route: Route, answer: unknown, reply: FastifyReply, log: ApiParts["log"]): FastifyReply {
  if (typeof answer === "function") {
    if (route.stream === undefined) throw unfit(route);
    return stream(reply.type(route.stream), answer as StreamAnswer, log);
  }
  const schema = route.responses[reply.statusCode];
  if (schema === undefined) throw unfit(route);
  if (schema === noContent) {
    if (answer !== undefined) throw unfit(route);
    return reply.send();
  }
  return reply.type("application/json; charset=utf-8").send(encode(route, schema, answer));
}

/** Straight into the connection: one more stream between would be half of what a line costs each of its viewers. */
function stream(reply: FastifyReply, write: StreamAnswer, log: ApiParts["log"]): FastifyReply {
  reply.hijack();
  const { raw, request } = reply;
  raw.writeHead(reply.statusCode, reply.getHeaders() as OutgoingHttpHeaders);
  write(raw).catch((error: unknown) => {
    // Nobody takes what breaks off for whole.
    raw.destroy();
    log.warn({ requestId: request.id, route: request.routeOptions.url, err: error }, "a stream ended with an error");
  });
  return reply;
}

/** Only what the schema has goes out: fields that it does not know are left out. */
function encode(route: Route, schema: z.ZodType, answer: unknown): string {
  const encoded = z.safeEncode(schema, answer);
  const text = encoded.success ? (JSON.stringify(encoded.data) as string | undefined) : undefined;
  if (text === undefined)
    throw unfit(route, encoded.success ? [] : mismatchesOf(encoded.error.issues, "answer", schema));
  return text;
}

/** Names places and rules: zod's own texts may hold what was to be sent. */
function unfit(route: Route, errors: readonly Mismatch[] = []): StepvaultError {
  const places = errors.map(({ pointer, detail }) => `; ${pointer} ${detail}`).join("");
  return new StepvaultError(
    "ERR_INTERNAL",
    `Cannot answer ${route.operationId}: the answer does not fit its schema${places}`,
  );
}
