/** A whole Stepvault with its API on loopback, a project, and keys of each scope: for tests that ask over HTTP as callers do. */
import { openApi, type OpenApi } from "../../cli/serve.ts";
import type { RunEvent } from "../../protocol/job.ts";
import type { KeyScope } from "../../protocol/roles.ts";
import { openTestService, type TestService } from "./service.ts";

export interface ApiService extends TestService {
  readonly api: OpenApi;
  /** `/v1/projects/<the project>`. */
  readonly base: string;
  /** A new key of the project, with these scopes, or of another one. */
  key(scopes: readonly KeyScope[], projectId?: string): Promise<string>;
  ask(path: string, options?: AskOptions): Promise<Answer>;
}

export interface AskOptions {
  readonly method?: string;
  readonly body?: unknown;
  /** Of everything, unless another one is given; "" for none. */
  readonly key?: string;
  readonly headers?: Record<string, string>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // Any: tests say what is in it.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

export async function openApiService(settings: Record<string, string> = {}): Promise<ApiService> {
  const whole = await openTestService({
    STEPVAULT_API_PORT: "0",
    STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: "100000",
    ...settings,
  });
  const { service, projectId } = whole;
  const api = await openApi(service);
  const key = async (scopes: readonly KeyScope[], of: string = projectId): Promise<string> =>
    (await service.vault.keys.createForProject({ projectId: of, name: "Test", scopes: [...scopes], expiry: "none" }))
      .key;
  const all = await key(["trigger", "read:runs", "manage:secrets", "admin"]);
  return {
    ...whole,
    api,
    base: `/v1/projects/${projectId}`,
    key,
    async ask(path, { method, body, key: own = all, headers = {} } = {}) {
      const response = await fetch(`${api.address}${path}`, {
        method: method ?? (body === undefined ? "GET" : "POST"),
        redirect: "manual",
        headers: {
          ...(own === "" ? {} : { authorization: `Bearer ${own}` }),
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      const isJson = response.headers.get("content-type")?.includes("json") === true && !text.includes("}\n{");
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
    },
    async close() {
      await api.close();
      await whole.close();
    },
  };
}

/** The events of a stream of server-sent events, or of lines of JSON. */
export function eventsOf(text: string): RunEvent[] {
  const lines = text.split("\n").map((line) => line.replace(/^data: /, ""));
  return lines.filter((line) => line.startsWith('{"runId"')).map((line) => JSON.parse(line) as RunEvent);
}
