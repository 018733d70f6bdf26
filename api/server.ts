/**
 * The HTTP API: Fastify with everything that all routes share. What is refused is refused as early as can be, everything
 * that goes wrong is a problem, and closing ends streams too. It says nothing on its own log but one line per request.
 */
import cors from "@fastify/cors";
import helmet from "@fastify/helmet";
import rateLimit from "@fastify/rate-limit";
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { logRequests, requestIdOf } from "./access-log.ts";
import { parseBody } from "./body.ts";
import { registerHealth } from "./health.ts";
import { createMetrics, registerMetrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import type { Api, ApiParts } from "./parts.ts";
import type { Principal } from "./principal.ts";
import { registerSignInPage, signInPath } from "./principals/sign-in-page.ts";
import { loggedOf, problemOf, problemType } from "./problem.ts";
import { createRateLimits } from "./rate-limits.ts";
import { Refusal } from "./refusal.ts";
import { registerRoute } from "./register-route.ts";
import { checkHead, urlToRoute } from "./request-guard.ts";
import type { Route } from "./route.ts";
import { answerBadBytes, answerOddRequests } from "./socket-errors.ts";

const headersMsMax = 15_000;
const requestMsMax = 120_000;
/** Of a connection on which nothing moves; sendEvents takes it off its own, as a run may be quiet for longer. */
const silenceMsMax = 120_000;
/** Longer than proxies keep theirs, so that none sends a request into a connection that is being closed. */
const keepAliveMsMax = 75_000;
const connectionsMax = 10_000;
const closeMsMax = 5_000;
const idleCheckMs = 50;

const corsHeaders = {
  allowedHeaders: [
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "x-request-id",
  ],
  exposedHeaders: ["etag", "location", "retry-after", "sunset", "x-request-id"],
  methods: ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
};

/** Puts the API together; it listens once it is told to. */
export async function createApi(parts: ApiParts): Promise<Api> {
  const { config, log, routes } = parts;
  const closing = new AbortController();
  const principals = new WeakMap<FastifyRequest, Principal>();
  const metrics = parts.metrics ?? createMetrics();
  const app = createApp(parts);
  answerOddRequests(app.server);
  app.server.maxConnections = connectionsMax;
  // None is dropped silently: checkHead counts them.
  app.server.maxHeadersCount = 0;
  await addHeaders(app, config.api);
  app.addHook("onRequest", async (request, reply) => {
    reply.header("x-request-id", request.id).header("cache-control", "no-store");
    checkHead(request.raw);
    if (!closing.signal.aborted || request.url === "/healthz" || request.url === "/readyz") return;
    reply.header("connection", "close");
    throw new Refusal("ERR_NOT_READY", "Cannot take the request: the API is about to stop", {
      headers: { "retry-after": "1" },
    });
  });
  logRequests(app, { log, metrics, principals });
  readBodies(app);
  answerFaults(app, parts, routes);
  await app.register(rateLimit, { global: false });
  const limits = createRateLimits(app, config.api.requestsPerMinuteMax);
  registerHealth(app, { readiness: parts.readiness, closing: closing.signal });
  registerMetrics(app, metrics, config.api.metricsTokenFile);
  registerSignInPage(app);
  const document = JSON.stringify(await openApiDocument(routes));
  app.get("/openapi.json", async (_request, reply) => reply.type("application/json; charset=utf-8").send(document));
  for (const route of routes) registerRoute(app, route, { parts, limits, closing: closing.signal, principals });
  await app.ready();
  let closed: Promise<void> | undefined;
  return {
    app,
    listen: async () => await app.listen({ host: config.api.host, port: config.api.port }),
    close: async () => await (closed ??= close(app, closing)),
  };
}

function createApp({ config, log }: ApiParts): FastifyInstance {
  const { trustProxy, bodyBytesMax } = config.api;
  return fastify({
    // Its own lines hold URLs; logRequests writes ours.
    logger: false,
    trustProxy: trustProxy.length === 0 ? false : [...trustProxy],
    bodyLimit: bodyBytesMax,
    requestTimeout: requestMsMax,
    connectionTimeout: silenceMsMax,
    keepAliveTimeout: keepAliveMsMax,
    forceCloseConnections: "idle",
    return503OnClosing: false,
    requestIdHeader: false,
    genReqId: requestIdOf,
    rewriteUrl: urlToRoute,
    routerOptions: { maxParamLength: 500 },
    http: { requireHostHeader: false, headersTimeout: headersMsMax, maxHeaderSize: 16_384 },
    frameworkErrors: (error, request, reply) => void sendProblem(error, { request, reply, log }),
    clientErrorHandler: answerBadBytes,
  });
}

async function addHeaders(app: FastifyInstance, { publicUrl, corsOrigins }: ApiParts["config"]["api"]): Promise<void> {
  await app.register(helmet, {
    // For answers that are data; a page sets its own.
    contentSecurityPolicy: { useDefaults: false, directives: { defaultSrc: ["'none'"], frameAncestors: ["'none'"] } },
    frameguard: { action: "deny" },
    referrerPolicy: { policy: "no-referrer" },
    strictTransportSecurity: publicUrl?.startsWith("https:") === true ? { maxAge: 31_536_000 } : false,
  });
  if (corsOrigins.length === 0) return;
  // Without credentials: a page of another origin never acts with somebody's session.
  const origin = corsOrigins.includes("*") ? "*" : [...corsOrigins];
  await app.register(cors, { origin, ...corsHeaders, credentials: false, maxAge: 600, strictPreflight: false });
}

function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, async (_request: FastifyRequest, bytes: Buffer) =>
    parseBody(bytes),
  );
}

function answerFaults(app: FastifyInstance, { log }: ApiParts, routes: readonly Route[]): void {
  app.setErrorHandler((error, request, reply) => sendProblem(error, { request, reply, log }));
  const own = ["/healthz", "/readyz", "/metrics", "/openapi.json", signInPath];
  const known = [
    ...own.map((path) => ({ pattern: patternOf(path), methods: ["GET", "HEAD"] })),
    ...routes.map((route) => ({ pattern: patternOf(route.path), methods: methodsOf(route) })),
  ];
  app.setNotFoundHandler((request) => {
    const path = request.url.replace(/\?.*$/s, "");
    const methods = known.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods);
    if (methods.length === 0) throw new Refusal("ERR_ROUTE_UNKNOWN", "Cannot find the route: no such path");
    const allow = [...new Set(methods)].join(", ");
    throw new Refusal("ERR_METHOD_UNKNOWN", `Cannot use the method: the route takes ${allow}`, { headers: { allow } });
  });
}

/** A stream has no head of its own, as registerRoute knows. */
function methodsOf({ method, stream }: Route): string[] {
  return method === "GET" && stream === undefined ? ["GET", "HEAD"] : [method];
}

/** `/v1/projects/:projectId` as a pattern of paths. */
function patternOf(path: string): RegExp {
  const parts = path.split("/").map((part) => (part.startsWith(":") ? "[^/]+" : RegExp.escape(part)));
  return new RegExp(`^${parts.join("/")}$`);
}

function sendProblem(
  thrown: unknown,
  { request, reply, log }: { request: FastifyRequest; reply: FastifyReply; log: ApiParts["log"] },
): FastifyReply {
  const { problem, headers, error } = problemOf(thrown, request.id);
  if (problem.status >= 500) {
    const route = request.routeOptions.url ?? "none";
    log.error({ requestId: request.id, method: request.method, route, ...loggedOf(error) }, "a request failed");
  }
  // Also where no hook ran.
  const always = { "x-request-id": request.id, "cache-control": "no-store", "x-content-type-options": "nosniff" };
  return (
    reply
      .code(problem.status)
      .headers({ ...always, ...headers })
      .type(problemType)
      // As bytes: Fastify would add a charset to a text's type, which RFC 9457 does not have.
      .send(Buffer.from(JSON.stringify(problem)))
  );
}

async function close(app: FastifyInstance, closing: AbortController): Promise<void> {
  closing.abort();
  const end = setTimeout(() => app.server.closeAllConnections(), closeMsMax);
  // A connection whose request ends now would be kept for a next one.
  const idle = setInterval(() => app.server.closeIdleConnections(), idleCheckMs);
  try {
    await app.close();
  } finally {
    clearTimeout(end);
    clearInterval(idle);
  }
}
