/**
 * One line of the log and one measurement for each request: its pattern, never its URL, and nothing of its headers, query or
 * body. Request ids come from the caller when they are harmless, so that one id goes through several services.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { FastifyInstance, FastifyRequest } from "fastify";
import type { Metrics } from "./metrics.ts";
import type { ApiParts } from "./parts.ts";
import type { Principal } from "./principal.ts";

const requestIdPattern = /^[A-Za-z0-9_.-]{1,100}$/;
const keyLike = /(?:sk|ek)-/;

/** The caller's id when it is one, and surely no key; else a new one. */
export function requestIdOf({ headers }: Pick<IncomingMessage, "headers">): string {
  const given = headers["x-request-id"];
  const usable = typeof given === "string" && requestIdPattern.test(given) && !keyLike.test(given);
  return usable ? given : randomUUID();
}

export function logRequests(
  app: FastifyInstance,
  {
    log,
    metrics,
    principals,
  }: Pick<ApiParts, "log"> & { metrics: Metrics; principals: WeakMap<FastifyRequest, Principal> },
): void {
  app.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "none";
    const { method } = request;
    const status = reply.statusCode;
    const ms = Math.round(reply.elapsedTime * 10) / 10;
    metrics.observeRequest({ route, method, status, ms });
    const principal = principals.get(request)?.id;
    log.info({ requestId: request.id, method, route, status, ms, principal }, "request");
  });
}
