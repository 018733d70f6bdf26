/**
 * A server whose answers take their time, come in parts, break off or never end, for tests of Python's network clients.
 * Parts follow when a request asks for them and not after some time: who does not read as they come waits for ever.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";

export interface PartsServer {
  readonly port: number;
  /** What /large answers with. */
  readonly large: Buffer;
  close(): void;
}

export const events = ["event 0", "event 1", "event 2", "event 3"];

export async function startPartsServer(): Promise<PartsServer> {
  const large = randomBytes(3_000_000);
  /** Answers under way, by the key that the request gave them. */
  const open = new Map<string, ServerResponse>();
  const paths: Record<string, (response: ServerResponse, query: URLSearchParams) => void> = {
    /** Redirects. */
    "/moved": (response, query) =>
      void response.writeHead(Number(query.get("status") ?? 302), { location: query.get("to") ?? "/" }).end("moved"),
    "/cookies": (response) => void response.writeHead(200, { "set-cookie": ["a=1; Path=/", "b=2; Path=/"] }).end(),
    "/missing": (response) => void response.writeHead(404).end("missing"),
    "/slow": (response, query) => void setTimeout(() => response.end("slow"), Number(query.get("ms"))),
    /** The first event; each /next sends one more. */
    "/paced": (response, query) => {
      const bytes = events.reduce((sum, event) => sum + event.length + 1, 0);
      response.writeHead(200, query.has("length") ? { "content-length": bytes } : {});
      response.write(`${events[0]}\n`);
      let next = 1;
      response.on("next", () => {
        if (next < events.length) response.write(`${events[next++]}\n`);
        if (next === events.length) response.end();
      });
    },
    "/next": (response, query) => {
      open.get(query.get("key") ?? "")?.emit("next");
      response.end("next");
    },
    /** Never begins. */
    "/hanging": () => {},
    "/endless": (response) => {
      const writing = setInterval(() => response.write("more\n"), 5);
      response.on("close", () => clearInterval(writing));
    },
    /** Answers once the answer of this key has ended. */
    "/closed": (response, query) => {
      const other = open.get(query.get("key") ?? "");
      if (other === undefined || other.closed) response.end("closed");
      else other.on("close", () => response.end("closed"));
    },
    "/broken": (response, query) => {
      response.writeHead(200, query.has("length") ? { "content-length": 100 } : {});
      response.write("some\n");
      setTimeout(() => response.destroy(), 50);
    },
    "/large": (response, query) => {
      const as = query.get("as");
      if (as === "gzip") response.setHeader("content-encoding", "gzip");
      if (as === "length") response.setHeader("content-length", large.length);
      const bytes = as === "gzip" ? gzipSync(large) : large;
      response.write(bytes.subarray(0, 1_000_001));
      response.end(bytes.subarray(1_000_001));
    },
  };
  const receive = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? "", "http://local");
    const path = paths[pathname];
    if (pathname !== "/next" && pathname !== "/closed") open.set(searchParams.get("key") ?? "", response);
    if (path !== undefined) return path(response, searchParams);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method, url, headers } = request;
    const text = JSON.stringify({ method, url, headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(200, { "x-answer": "1", "content-length": Buffer.byteLength(text) });
    response.end(text);
  };
  const server = createServer((request, response) => void receive(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    large,
    close(): void {
      server.closeAllConnections();
      server.close();
    },
  };
}
