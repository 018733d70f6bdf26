/**
 * /healthz: the process answers. /readyz: it can serve, or which part is missing. The parts are asked at most once a second,
 * as anybody may ask; what they throw is not shown.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyInstance } from "fastify";
import type { ApiParts, PartState } from "./parts.ts";
import { problemOf, problemType } from "./problem.ts";
import { Refusal } from "./refusal.ts";

const keptMs = 1_000;
const checkMsMax = 5_000;

type States = Readonly<Record<string, PartState>>;

export function registerHealth(
  app: FastifyInstance,
  { readiness, closing }: Pick<ApiParts, "readiness"> & { closing: AbortSignal },
): void {
  const check = kept(readiness);
  app.get("/healthz", async () => ({ status: "alive" }));
  app.get("/readyz", async (request, reply) => {
    const states: States = closing.aborted ? { service: { ok: false, reason: "about to stop" } } : await check();
    const parts = Object.fromEntries(
      Object.entries(states).map(([name, { ok, reason }]) => [
        name,
        ok ? { ok } : { ok, reason: reason ?? "not there" },
      ]),
    );
    if (Object.values(states).every(({ ok }) => ok)) return { status: "ready", parts };
    const { problem } = problemOf(new Refusal("ERR_NOT_READY", "Cannot serve: a part is missing"), request.id);
    return reply
      .code(problem.status)
      .type(problemType)
      .send(Buffer.from(JSON.stringify({ ...problem, parts })));
  });
}

/** Asks again once the last answer is old; never longer than a check may take. */
function kept(readiness: ApiParts["readiness"]): () => Promise<States> {
  let last: { at: number; states: Promise<States> } | undefined;
  return async () => {
    if (last === undefined || Date.now() - last.at > keptMs) last = { at: Date.now(), states: ask(readiness) };
    return await last.states;
  };
}

async function ask(readiness: ApiParts["readiness"]): Promise<States> {
  const controller = new AbortController();
  const late = async (): Promise<States> => {
    await delay(checkMsMax, undefined, { signal: controller.signal }).catch(() => undefined);
    return { readiness: { ok: false, reason: `not known within ${checkMsMax} ms` } };
  };
  try {
    return await Promise.race([readiness(), late()]);
  } catch {
    return { readiness: { ok: false, reason: "cannot be found out; see the log" } };
  } finally {
    controller.abort();
  }
}
