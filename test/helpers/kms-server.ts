/**
 * What the local servers of key management services have in common: a listener on loopback that notes what came, and can be
 * told to fail, to keep silent, or to answer anything at all instead. Knows nothing of any one service.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface KmsRequestSeen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface KmsReply {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body: object | string;
}

export interface KmsServer {
  readonly origin: string;
  /** For STEPVAULT_KMS. */
  readonly source: string;
  /** What must show nowhere. */
  readonly secrets: readonly string[];
  /** Operations that were asked for: `encrypt`, `decrypt`, `describe`. */
  readonly calls: string[];
  /** URLs and bodies as they came. */
  readonly seen: string[];
  state: "up" | "down" | "silent";
  /** Answers in the service's place. */
  instead: ((request: KmsRequestSeen) => KmsReply) | undefined;
  /** A new version of the key; the older ones still decrypt. */
  rotate(): void;
  close(): Promise<void>;
}

export type Listening = Pick<KmsServer, "origin" | "seen" | "state" | "instead" | "close">;

/** Listens; `answer` speaks for the service while it is up, and `down` once it is not. */
export async function listen(
  answer: (request: KmsRequestSeen) => Promise<KmsReply>,
  down: KmsReply,
): Promise<Listening> {
  const server = createServer((request, response) => void serve(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const listening: Listening = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen: [],
    state: "up",
    instead: undefined,
    async close() {
      if (!server.listening) return;
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return listening;

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url = "", headers } = request;
    const seen = { method, url, headers, body: await text(request) };
    listening.seen.push(`${url} ${seen.body}`);
    if (listening.state === "silent") return;
    const reply = listening.state === "down" ? down : (listening.instead?.(seen) ?? (await answer(seen)));
    const body = typeof reply.body === "string" ? reply.body : JSON.stringify(reply.body);
    response.writeHead(reply.status, { "content-type": "application/json", ...reply.headers }).end(body);
  }
}
