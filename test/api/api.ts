/**
 * The API on loopback over a real vault, for tests of its frame: who asks is told by a word in the Authorization header, so
 * that these tests do not rest on the forms of keys and sessions.
 */
import { createApi } from "../../api/server.ts";
import type { ApiParts } from "../../api/parts.ts";
import type { Principal } from "../../api/principal.ts";
import { apiRoutes } from "../../api/routes.ts";
import { type Config, parseConfig } from "../../protocol/config.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { type Actor, operator } from "../../vault/tenancy/actor.ts";
import { openVault, type Vault } from "../../vault/vault.ts";
import type { Database } from "../../database/connection.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

export interface TestStore {
  readonly temporary: Temporary;
  readonly vault: Vault;
  dispose(): Promise<void>;
}

/** What an API stands on: a TestStore, or a whole service's parts. */
export interface ApiStore {
  readonly vault: Vault;
  readonly temporary: { readonly database: Database };
  dispose?(): Promise<void>;
}

export interface TestApi {
  readonly url: string;
  readonly port: number;
  /** Lines of the log, as JSON. */
  readonly log: string[];
  readonly api: Awaited<ReturnType<typeof createApi>>;
  request(path: string, init?: RequestInit & { as?: string }): Promise<Response>;
}

export async function openStore(): Promise<TestStore> {
  const temporary = await openTemporary();
  const vault = await openVault(temporary.database, temporary.config);
  return {
    temporary,
    vault,
    async dispose() {
      vault.close();
      await temporary.dispose();
    },
  };
}

export function apiConfig(settings: Record<string, string> = {}): Config["api"] {
  return parseConfig({ STEPVAULT_API_PORT: "0", ...settings }).api;
}

/** Starts an API; without a store, whoever asks the vault fails. */
export async function startApi(
  store: ApiStore | undefined,
  { settings = {}, ...parts }: Partial<ApiParts> & { settings?: Record<string, string> } = {},
): Promise<TestApi> {
  const log: string[] = [];
  const write =
    (level: string) =>
    (...line: unknown[]): void =>
      void log.push(JSON.stringify([level, ...line]));
  const api = await createApi({
    config: { api: apiConfig(settings) },
    vault: store?.vault ?? ({ as: () => ({}) } as unknown as Vault),
    database: store?.temporary.database as ApiParts["database"],
    log: { info: write("info"), warn: write("warn"), error: write("error") },
    authenticate: async ({ headers }) => principalOf(headers.authorization),
    readiness: async () => ({ database: { ok: true } }),
    routes: apiRoutes,
    ...parts,
    // Routes that need more are given it by their own tests.
  } as ApiParts);
  const url = await api.listen();
  return {
    url,
    port: Number(new URL(url).port),
    log,
    api,
    request: async (path, { as = "operator", headers, ...init } = {}) =>
      await fetch(`${url}${path}`, {
        redirect: "manual",
        ...init,
        headers: {
          ...(as === "" ? {} : { authorization: as }),
          ...(init.body === undefined ? {} : { "content-type": "application/json" }),
          ...(headers as Record<string, string> | undefined),
        },
      }),
  };
}

function principalOf(authorization = ""): Principal {
  const [kind = "", id = ""] = authorization.split(" ");
  if (kind === "operator") return principal(operator, "operator");
  if (kind === "person") return principal({ kind: "person", id }, `person:${id}`);
  throw new StepvaultError("ERR_UNAUTHENTICATED", "Cannot tell who asks: there is no credential");
}

function principal(actor: Actor, id: string): Principal {
  const nothing = { projectId: undefined, endsAt: undefined, embed: undefined, sessionId: undefined };
  return { actor, id, via: "token", ...nothing };
}
