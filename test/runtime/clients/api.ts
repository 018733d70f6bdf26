/**
 * A server on loopback that answers as the services of the client libraries do, and only to those who know the secret:
 * as a bearer token, as a password or by a signature. The signature it computes by itself, from the request that arrived.
 * Over TLS, as approved.test.
 */
import { createHash, createHmac } from "node:crypto";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";

export interface Api {
  readonly url: string;
  close(): void;
}

export const accessKeyId = "AKIDEXAMPLE";

export async function startApi(secret: string): Promise<Api> {
  const read = (name: string): Buffer => readFileSync(new URL(`../../helpers/tls/${name}`, import.meta.url));
  const server = createServer({ key: read("server.key"), cert: read("server.pem") }, (request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => answer({ request, response, body: Buffer.concat(chunks).toString(), secret }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `https://approved.test:${(server.address() as AddressInfo).port}`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly body: string;
  readonly secret: string;
}

/** What each path wants and gives, by method and path. */
const routes: Record<string, { allows(exchange: Exchange): boolean; answer(exchange: Exchange): unknown }> = {
  "GET /me": { allows: knowsToken, answer: () => ({ name: "me" }) },
  "POST /items": { allows: knowsPassword, answer: ({ body }) => ({ made: JSON.parse(body) as unknown }) },
  "POST /v1/chat/completions": { allows: knowsToken, answer: completion },
  "POST /v1/customers": {
    allows: (exchange) =>
      knowsToken(exchange) && exchange.request.headers["content-type"] === "application/x-www-form-urlencoded",
    answer: ({ body }) => ({ id: "cus_1", object: "customer", ...Object.fromEntries(new URLSearchParams(body)) }),
  },
  "POST /signed": { allows: hasSigned, answer: ({ body }) => ({ signed: JSON.parse(body) as unknown }) },
  "POST /": { allows: hasSigned, answer: () => ({ Item: { id: { S: "1" }, count: { N: "5" } } }) },
};

function answer(exchange: Exchange): void {
  const { request, response } = exchange;
  const { pathname } = new URL(request.url ?? "/", "http://local");
  const route = routes[`${request.method} ${pathname}`];
  const status = route === undefined ? 404 : route.allows(exchange) ? 200 : 401;
  const content = status === 200 ? route?.answer(exchange) : { error: { message: `refused with ${status}` } };
  const isText = typeof content === "string";
  response.writeHead(status, { "content-type": isText ? "text/event-stream" : "application/json" });
  response.end(isText ? content : JSON.stringify(content));
}

function knowsToken({ request, secret }: Exchange): boolean {
  return request.headers.authorization === `Bearer ${secret}`;
}

function knowsPassword({ request, secret }: Exchange): boolean {
  return request.headers.authorization === `Basic ${Buffer.from(`user:${secret}`).toString("base64")}`;
}

function completion({ body }: Exchange): unknown {
  const { model, stream, messages } = JSON.parse(body) as { model: string; stream?: boolean; messages: unknown[] };
  if (stream !== true) {
    const message = { role: "assistant", content: `${messages.length} message for ${model}` };
    return { id: "c", object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }] };
  }
  const events = ["Hel", "lo, ", "wörld"].map((content) =>
    JSON.stringify({ id: "c", object: "chat.completion.chunk", choices: [{ index: 0, delta: { content } }] }),
  );
  return [...events, "[DONE]"].map((data) => `data: ${data}\n\n`).join("");
}

/** Whether the request has the AWS Signature Version 4 of somebody who knows the secret. */
function hasSigned({ request, body, secret }: Exchange): boolean {
  const { method, url = "/", headers } = request;
  const scope = new RegExp(`Credential=${accessKeyId}/(([0-9]{8})/([^/]+)/([^/]+)/aws4_request),`);
  const [, whole = "", ...parts] = scope.exec(headers.authorization ?? "") ?? [];
  const [, names = ""] = /SignedHeaders=([^,]+),/.exec(headers.authorization ?? "") ?? [];
  const { pathname, searchParams } = new URL(url, "http://local");
  const query = [...searchParams].map((pair) => pair.map(encodeURIComponent).join("=")).sort();
  const values = names.split(";").map((name) => `${name}:${String(headers[name])}`);
  const canonical = [method, pathname, query.join("&"), ...values, "", names, sha256(body)].join("\n");
  const text = ["AWS4-HMAC-SHA256", headers["x-amz-date"], whole, sha256(canonical)].join("\n");
  const key = [...parts, "aws4_request"].reduce<Buffer>(
    (before, part) => hmac(before, part),
    Buffer.from(`AWS4${secret}`),
  );
  return headers.authorization?.endsWith(`Signature=${hmac(key, text).toString("hex")}`) === true;
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
