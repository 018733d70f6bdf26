/** A whole Stepvault over each backend of the queue; a Redis of its own, as these tests empty it, stop it and fill it. */
import type { RunResult, StepInput } from "../../protocol/job.ts";
import type { Redacted } from "../../protocol/redacted.ts";
import { type RedisServers, startSingleRedis } from "../helpers/redis-servers.ts";
import { openTestService, type TestService } from "../helpers/service.ts";

export const backends = ["postgres", "redis"] as const;
export type Backend = (typeof backends)[number];

export interface OpenedBackend extends TestService {
  readonly redis: RedisServers | undefined;
}

export async function openBackend(
  backend: Backend,
  settings: Record<string, string> = {},
  options: Parameters<typeof openTestService>[1] = {},
): Promise<OpenedBackend> {
  const redis = backend === "redis" ? await startSingleRedis() : undefined;
  const stepvault = await openTestService(
    redis === undefined ? settings : { ...settings, STEPVAULT_REDIS_URL: redis.url },
    options,
  );
  return {
    ...stepvault,
    redis,
    async close() {
      try {
        await stepvault.close();
      } finally {
        await redis?.stop();
      }
    },
  };
}

export const javascript = (code: string, more: Partial<StepInput> = {}): StepInput => ({
  language: "javascript",
  code,
  ...more,
});

export const usage = {
  queueMs: 0,
  wallMs: 0,
  cpuMs: 0,
  memoryPeakBytes: 0,
  stdoutBytes: 0,
  logEntries: 0,
  requests: 0,
};

/** The tests stand in for the redactor. */
export const mark = <T>(value: T): Redacted<T> => value as Redacted<T>;

export const succeeded = (runId: string, more: Partial<RunResult> = {}): Redacted<RunResult> =>
  mark({ runId, status: "succeeded", output: "nul \0 🎈 \ud800", usage, redactions: [], ...more });
