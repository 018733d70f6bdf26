/**
 * A local server that speaks the KV engine, version 2, of HashiCorp Vault and OpenBao, as far as vault/sources/kv-client.ts uses it:
 * reading a path's newest or a given version, with namespaces, mounts, tokens, deleted and destroyed versions, and the
 * answers of a server that is sealed, a standby, silent or broken. Written from the engine's documentation; it is not the
 * engine. Paths are decoded and their dots followed, as no real server would: what leaves its place here must not be asked.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";

interface Version {
  readonly fields: Record<string, unknown>;
  deletedAt: string;
  destroyed: boolean;
}

/** What is answered instead, whatever is asked. */
export interface Misbehaviour {
  readonly status?: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | Buffer;
  /** Nothing at all, or a byte now and then without end. */
  readonly stalls?: "silent" | "drips";
}

export interface Kv2Server {
  readonly address: string;
  readonly token: string;
  /** Paths and queries as they were asked for. */
  readonly asked: string[];
  /** Headers of the last question. */
  headers: IncomingMessage["headers"];
  misbehaviour: Misbehaviour | undefined;
  /** Answers wait for it. */
  gate: Promise<void> | undefined;
  /** Beginnings of paths, such as `secret/data/a/`, that the token may read; all without any. */
  allowed: string[];
  /** Writes the next version at a place such as `secret/data/a/b`, with the namespace in front if there is one. */
  put(place: string, fields: Record<string, unknown>, deletedAt?: string): void;
  remove(place: string, how: "deleted" | "destroyed"): void;
  close(): Promise<void>;
}

export async function startKv2({ tls = false }: { tls?: boolean } = {}): Promise<Kv2Server> {
  const stored = new Map<string, Version[]>();
  const listen = (request: IncomingMessage, response: ServerResponse): void => void handle(request, response);
  const folder = path.join(import.meta.dirname, "tls");
  const server = tls
    ? createTlsServer(
        { key: readFileSync(path.join(folder, "server.key")), cert: readFileSync(path.join(folder, "server.pem")) },
        listen,
      )
    : createServer(listen);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const kv: Kv2Server = {
    address: `${tls ? "https" : "http"}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: `hvs.${randomBytes(12).toString("base64url")}`,
    asked: [],
    headers: {},
    misbehaviour: undefined,
    gate: undefined,
    allowed: [],
    put(place, fields, deletedAt = "") {
      stored.set(place, [...(stored.get(place) ?? []), { fields, deletedAt, destroyed: false }]);
    },
    remove(place, how) {
      const version = stored.get(place)!.at(-1)!;
      if (how === "destroyed") version.destroyed = true;
      else version.deletedAt = new Date(Date.now() - 1_000).toISOString();
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return kv;

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    kv.asked.push(request.url ?? "");
    kv.headers = request.headers;
    await kv.gate;
    const { status = 200, headers, body = "", stalls } = kv.misbehaviour ?? {};
    if (stalls === "silent") return;
    if (stalls === "drips") {
      response.writeHead(200);
      const timer = setInterval(() => response.write(" "), 20);
      response.once("close", () => clearInterval(timer));
      return;
    }
    if (kv.misbehaviour !== undefined) {
      response.writeHead(status, headers).end(body);
      return;
    }
    const answer = answerTo(request);
    response.writeHead(answer.status, { "content-type": "application/json" }).end(JSON.stringify(answer.body));
  }

  function answerTo(request: IncomingMessage): { status: number; body: object } {
    const [encoded = "", query] = (request.url ?? "").split("?");
    const followed = path.posix.normalize(decodeURIComponent(encoded)).replace(/^\/v1\//, "");
    const namespace = request.headers["x-vault-namespace"];
    const place = namespace === undefined ? followed : `${String(namespace)}/${followed}`;
    const permitted = kv.allowed.length === 0 || kv.allowed.some((beginning) => place.startsWith(beginning));
    if (request.headers["x-vault-token"] !== kv.token || !permitted) {
      return { status: 403, body: { errors: ["1 error occurred:\n\t* permission denied\n\n"] } };
    }
    if (request.method !== "GET") return { status: 405, body: { errors: ["unsupported operation"] } };
    const versions = stored.get(place);
    const number = Number(new URLSearchParams(query).get("version") ?? 0) || (versions?.length ?? 0);
    const version = versions?.[number - 1];
    if (version === undefined) return { status: 404, body: { errors: [] } };
    const gone = version.destroyed || (version.deletedAt !== "" && Date.parse(version.deletedAt) < Date.now());
    const metadata = {
      created_time: "2026-01-01T00:00:00.000000000Z",
      custom_metadata: null,
      deletion_time: version.deletedAt,
      destroyed: version.destroyed,
      version: number,
    };
    return {
      status: gone ? 404 : 200,
      body: {
        request_id: "00000000-0000-0000-0000-000000000000",
        lease_id: "",
        renewable: false,
        lease_duration: 0,
        data: { data: gone ? null : version.fields, metadata },
        wrap_info: null,
        warnings: null,
        auth: null,
        mount_type: "kv",
      },
    };
  }
}
