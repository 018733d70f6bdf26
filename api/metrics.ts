/**
 * Figures for a monitoring system at /metrics: durations by route and of the process here, and whatever others register.
 * Labels are route patterns, methods and statuses, never what a caller sent. Who may read them: the holder of the token, or
 * without a token whoever connects from this machine itself, not through a proxy.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import type { FastifyInstance } from "fastify";
import { collectDefaultMetrics, Histogram, Registry } from "prom-client";
import { Refusal } from "./refusal.ts";

export interface Metrics {
  /** Others register their own metrics here, named `stepvault_…` with their unit last. */
  readonly register: Registry;
  observeRequest(request: { route: string; method: string; status: number; ms: number }): void;
}

export function createMetrics(): Metrics {
  const register = new Registry();
  collectDefaultMetrics({ register });
  const durations = new Histogram({
    name: "stepvault_http_request_seconds",
    help: "Time from a request's head to the end of its answer",
    labelNames: ["route", "method", "status"],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers: [register],
  });
  return {
    register,
    observeRequest({ route, method, status, ms }) {
      durations.observe({ route, method, status: String(status) }, ms / 1_000);
    },
  };
}

export function registerMetrics(app: FastifyInstance, metrics: Metrics, tokenFile: string | undefined): void {
  app.get("/metrics", async (request, reply) => {
    await requireReader(request.raw, tokenFile);
    return reply.type(metrics.register.contentType).send(await metrics.register.metrics());
  });
}

/** Throws ERR_FORBIDDEN, also when the token's file cannot be read. */
async function requireReader(request: IncomingMessage, tokenFile: string | undefined): Promise<void> {
  const allowed = tokenFile === undefined ? isLocal(request) : await holdsToken(request, tokenFile);
  if (allowed) return;
  const takes = tokenFile === undefined ? "a connection from this machine" : "the bearer token of the deployment";
  throw new Refusal("ERR_FORBIDDEN", `Cannot show metrics: it takes ${takes}`);
}

/** By the connection itself. What a proxy passes on comes from somebody else, whatever it says. */
function isLocal({ socket, headers }: IncomingMessage): boolean {
  const proxied = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via"];
  if (proxied.some((name) => headers[name] !== undefined)) return false;
  return /^(127\.|::1$|::ffff:127\.)/.test(socket.remoteAddress ?? "");
}

/** Read at each call, so that it may be renewed. */
async function holdsToken({ headers }: IncomingMessage, tokenFile: string): Promise<boolean> {
  const token = (await readFile(tokenFile, "utf8").catch(() => "")).trim();
  const [, given] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? "") ?? [];
  if (token === "" || given === undefined) return false;
  return timingSafeEqual(digest(token), digest(given));
}

function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
