/**
 * A real HTTP server on loopback for the client library: keeps every request that arrives, with its headers as they came,
 * and answers as a test says. And keys as the vault makes them, of which no server knows any.
 */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";
import { Client } from "../../client/client.ts";
import { StepvaultApiError, StepvaultClientError } from "../../client/errors.ts";
import { Key } from "../../client/key.ts";
import type { TransportOptions } from "../../client/settings.ts";
import type { RequestOptions } from "../../client/transport.ts";
import { generateKey } from "../../vault/platform-keys/key-format.ts";

export interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface TestServer {
  readonly url: string;
  readonly arrived: Arrived[];
}

/** What the server does with the request that it counts as `number`, from 1. */
export type Handler = (response: ServerResponse, number: number, request: Arrived) => void;

export const project = "01890a5d-ac96-774b-bcce-b302099a8057";
export const agentId = "01890a5d-ac96-774b-bcce-b302099a8058";
export const workforceId = "01890a5d-ac96-774b-bcce-b302099a8059";
export const taskPrefix = "Zk3vQ9mB1xT7pLc5WnR2aY";
export const serverKey = generateKey("project", "eu");
export const embedKey = generateKey("embed", "eu");

/** Ends with the test. */
export async function startServer(handle: Handler = (response) => json(response, {})): Promise<TestServer> {
  const arrived: Arrived[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "", headers } = request;
      arrived.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      handle(response, arrived.length, arrived.at(-1)!);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, arrived };
}

/** An address where nobody listens. */
export async function closedUrl(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

export function json(response: ServerResponse, body: unknown, status = 200): void {
  const type = status < 400 ? "application/json" : "application/problem+json";
  response.writeHead(status, { "content-type": type });
  response.end(JSON.stringify(body));
}

export const newServerKey = (): Key => new Key({ key: serverKey, region: "eu", project });

export const newEmbedKey = (): Key => new Key({ key: embedKey, region: "eu", project, agentId, taskPrefix });

export function clientOf(baseUrl: string, options: TransportOptions = {}): Client {
  return new Client(newServerKey(), { baseUrl, ...options });
}

/** The error of something that must fail. */
export async function failureOf(
  doing: (() => unknown) | Promise<unknown>,
): Promise<StepvaultClientError | StepvaultApiError> {
  try {
    await (typeof doing === "function" ? doing() : doing);
  } catch (error) {
    if (error instanceof StepvaultClientError || error instanceof StepvaultApiError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

export async function codeOf(doing: (() => unknown) | Promise<unknown>): Promise<string | undefined> {
  return (await failureOf(doing)).code;
}

export async function requestFailure(client: Client, request: RequestOptions): Promise<StepvaultApiError> {
  return (await failureOf(client.request(request))) as StepvaultApiError;
}
