/**
 * A project by an API, for who has a platform key and not the database. The key comes from a file or from stdin, never from an
 * argument or the environment, and goes nowhere but into requests of the client library.
 */
import { readKey } from "../client/key-form.ts";
import { Client, Key, type Query } from "../client/client.ts";
import type { JobInput, RunEvent, RunResult } from "../protocol/job.ts";
import { keyFileOfEnvironment } from "./environment.ts";
import { interruptible, untilAborted } from "./interruption.ts";
import type { ProjectAccess, ShownSchedule } from "./project-access.ts";
import { readText } from "./read-file.ts";
import { readValue } from "./vault-options.ts";

interface Asked {
  readonly url: string;
  readonly projectId: string;
  readonly keyFile: string | undefined;
}

interface Page<Item> {
  readonly data: Item[];
  readonly pagination: { readonly cursor?: string; readonly hasMore: boolean };
}

const pageRowsMax = 100;

export async function withApi<T>(asked: Asked, work: (project: ProjectAccess) => Promise<T>): Promise<T> {
  const key = await keyOf(asked);
  const client = new Client(key, { baseUrl: asked.url });
  return await interruptible(async (signal) => {
    const api = new Api(client, `/v1/projects/${encodeURIComponent(asked.projectId)}`, signal);
    return await untilAborted(work({ ...accessTo(api), ...runsOf(client, signal) }), signal);
  });
}

async function keyOf({ projectId, keyFile = keyFileOfEnvironment() }: Asked): Promise<Key> {
  const key = keyFile === undefined ? await readValue("the platform key") : readText(keyFile, "key file").trim();
  const read = readKey(key);
  // What is no key is told by the client, which says why.
  return new Key({ key, region: read.ok ? read.region : "us", project: projectId });
}

class Api {
  readonly #client: Client;
  readonly #root: string;
  readonly #signal: AbortSignal;

  constructor(client: Client, root: string, signal: AbortSignal) {
    this.#client = client;
    this.#root = root;
    this.#signal = signal;
  }

  async ask<Body>(
    method: "GET" | "POST" | "PUT" | "DELETE",
    path: string,
    { query, body, idempotencyKey }: { query?: Query; body?: unknown; idempotencyKey?: string } = {},
  ): Promise<Body> {
    const request = { method, path: `${this.#root}${path}`, query, body, idempotencyKey, signal: this.#signal };
    return (await this.#client.request<Body>(request)).body;
  }

  /** Of all pages at most so many. */
  async list<Item>(path: string, limit: number, query: Query = {}): Promise<Item[]> {
    const found: Item[] = [];
    for (let cursor: string | undefined; found.length < limit;) {
      const more = { ...query, limit: Math.min(pageRowsMax, limit - found.length), cursor };
      const { data, pagination } = await this.ask<Page<Item>>("GET", path, { query: more });
      found.push(...data);
      if (!pagination.hasMore) break;
      cursor = pagination.cursor;
    }
    return found;
  }
}

/** What waits: the client's own ways, which bear an API that is away, as in a rolling restart. */
function runsOf({ runs }: Client, signal: AbortSignal): Pick<ProjectAccess, "events" | "result"> {
  return {
    events: (runId, { follow }) =>
      (follow ? runs.stream(runId, { signal }) : runs.events(runId, { signal })) as AsyncIterable<RunEvent>,
    result: async (runId) => (await runs.wait(runId, { signal, timeMsMax: Infinity })) as RunResult,
  };
}

function accessTo(api: Api): Omit<ProjectAccess, "events" | "result"> {
  const at = (...parts: (string | number)[]): string => `/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
  return {
    submit: async (job) =>
      await api.ask("POST", "/runs", { body: job, idempotencyKey: job.runId ?? crypto.randomUUID() }),
    test: async (stepId, body) =>
      await api.ask("POST", at("steps", stepId, "test"), { body, idempotencyKey: crypto.randomUUID() }),
    async listRuns({ status, stepId, labels, limit }) {
      const label = Object.entries(labels).map(([name, value]) => `${name}:${value}`);
      return await api.list("/runs", limit, { status, stepId, label });
    },
    getRun: async (runId) => await api.ask("GET", at("runs", runId)),
    cancel: async (runId) => await api.ask("POST", at("runs", runId, "cancel")),
    output: async (runId) => (await api.ask<{ output: unknown }>("GET", at("runs", runId, "output"))).output,
    async saveStep({ id, ...body }) {
      const path = id === undefined ? "/steps" : at("steps", id, "versions");
      return await api.ask("POST", path, { body, idempotencyKey: crypto.randomUUID() });
    },
    checkStep: async (step, id) => await api.ask("POST", "/steps/check", { body: { step, id } }),
    listSteps: async ({ published, limit }) => await api.list("/steps", limit, { published }),
    getStep: async (stepId) => await api.ask("GET", at("steps", stepId)),
    getVersion: async (stepId, version) => await api.ask("GET", at("steps", stepId, "versions", version)),
    publish: async (stepId, version) => await api.ask("PUT", at("steps", stepId, "published"), { body: { version } }),
    listSchedules: async (limit) => await api.list("/schedules", limit),
    createSchedule: async (body) => await api.ask("POST", "/schedules", { body, idempotencyKey: crypto.randomUUID() }),
    async switchSchedule(scheduleId, enabled) {
      const { name, cron, timeZone, job: kept } = await api.ask<ShownSchedule>("GET", at("schedules", scheduleId));
      const { projectId: _projectId, ...job } = kept as Partial<JobInput>;
      return await api.ask("PUT", at("schedules", scheduleId), { body: { name, cron, timeZone, job, enabled } });
    },
    deleteSchedule: async (scheduleId) => await api.ask("DELETE", at("schedules", scheduleId)),
  };
}
