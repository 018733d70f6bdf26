/**
 * Requests that are not HTTP, or that Node's server would answer by itself: these get a problem too. Nothing is logged of
 * them but the code, since their bytes may be anything.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { randomUUID } from "node:crypto";
import { requestIdOf } from "./access-log.ts";
import { problemOf, problemType } from "./problem.ts";
import { Refusal } from "./refusal.ts";

/** Answers on the socket of a request that could not be parsed, and closes it. */
export function answerBadBytes(error: { readonly code?: string }, socket: Socket): void {
  // An answer that is under way would be mixed up with this one.
  const { _httpMessage: answer } = socket as { _httpMessage?: ServerResponse };
  if (error.code === "ECONNRESET" || !socket.writable || answer?.headersSent === true) {
    socket.destroy();
    return;
  }
  const requestId = randomUUID();
  const { problem } = problemOf(refusalOf(error.code), requestId);
  const body = JSON.stringify(problem);
  const head = [
    `HTTP/1.1 ${problem.status} ${problem.title}`,
    `content-type: ${problemType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    "cache-control: no-store",
    "x-content-type-options: nosniff",
    `x-request-id: ${requestId}`,
    "connection: close",
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n${body}`);
}

function refusalOf(code: string | undefined): Refusal {
  if (code === "HPE_HEADER_OVERFLOW")
    return new Refusal("ERR_HEADERS_TOO_LARGE", "Cannot read the request: its head is larger than 16384 bytes");
  if (code === "HPE_CHUNK_EXTENSIONS_OVERFLOW")
    return new Refusal("ERR_BODY_TOO_LARGE", "Cannot read the request: its body has too many chunk extensions");
  if (code === "ERR_HTTP_REQUEST_TIMEOUT")
    return new Refusal("ERR_REQUEST_TIMEOUT", "Cannot read the request: it did not arrive whole in time");
  return new Refusal("ERR_REQUEST_INVALID", "Cannot read the request: it is not HTTP/1.1");
}

/** Expectations other than 100-continue, and methods that make a tunnel. */
export function answerOddRequests(server: Server): void {
  server.on("checkExpectation", (request: IncomingMessage, response: ServerResponse) => {
    const requestId = requestIdOf(request);
    const refusal = new Refusal("ERR_REQUEST_INVALID", "Cannot accept the request: only 100-continue can be expected");
    const body = JSON.stringify(problemOf(refusal, requestId).problem);
    const headers = { "content-type": problemType, "cache-control": "no-store", "x-request-id": requestId };
    response.writeHead(400, { ...headers, "content-length": Buffer.byteLength(body), connection: "close" }).end(body);
  });
  server.on("connect", (_request: IncomingMessage, socket: Socket) => answerBadBytes({}, socket));
}
