/**
 * A server that steps send requests to: it keeps what arrived, and answers by the path, also with what it was sent, in
 * many encodings, as an approved but careless service would. Over TLS with a certificate of the tests' own authority, for
 * approved.test and other.test.
 */
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from "node:zlib";

const folder = path.join(import.meta.dirname, "tls");

/** For STEPVAULT_EGRESS_CA_FILE. */
export const testCaFile = path.join(folder, "ca.pem");

export interface Arrived {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string;
  /** All of it, as one text to search. */
  readonly text: string;
}

export interface Upstream {
  readonly port: number;
  readonly arrived: Arrived[];
  /** What arrived since the last call. */
  take(): Arrived[];
  close(): void;
}

/** Ways to write what was sent into the answer. */
const spellings: Readonly<Record<string, (text: string) => string | Buffer>> = {
  plain: (text) => text,
  json: (text) => JSON.stringify({ value: text }),
  base64: (text) => Buffer.from(text).toString("base64"),
  base64url: (text) => Buffer.from(text).toString("base64url"),
  "base64 after a byte": (text) => Buffer.from(`:${text}`).toString("base64"),
  "base64 in lines": (text) => Buffer.from(text.repeat(3)).toString("base64").replaceAll(/.{20}/g, "$&\r\n"),
  hex: (text) => Buffer.from(text).toString("hex"),
  "hex with colons": (text) => Buffer.from(text).toString("hex").match(/../g)!.join(":"),
  url: (text) => [...Buffer.from(text)].map((byte) => `%${byte.toString(16).padStart(2, "0")}`).join(""),
  entities: (text) => Array.from(text, (character) => `&#${character.codePointAt(0)};`).join(""),
  "unicode escapes": (text) => Array.from(text, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`).join(""),
  reversed: (text) => Array.from(text).reverse().join(""),
  "upper case": (text) => text.toUpperCase(),
  "utf-16": (text) => Buffer.from(text, "utf16le"),
  "base64 twice": (text) => Buffer.from(Buffer.from(text).toString("base64")).toString("base64"),
  "gzip in base64": (text) => gzipSync(text).toString("base64"),
  "gzip as a file": (text) => gzipSync(text),
  "the first half": (text) => text.slice(0, Math.ceil(text.length / 2) + 2),
};
export const spellingNames = Object.keys(spellings);

const codings: Readonly<Record<string, (bytes: Buffer) => Buffer>> = {
  gzip: (bytes) => gzipSync(bytes),
  deflate: (bytes) => deflateSync(bytes),
  br: (bytes) => brotliCompressSync(bytes),
  zstd: (bytes) => zstdCompressSync(bytes),
  "gzip, br": (bytes) => brotliCompressSync(gzipSync(bytes)),
};

/** What a request carried as its credential, wherever that is. */
function credentialOf({ headers, url, body }: Arrived): string {
  const { searchParams } = new URL(url, "http://local");
  const authorization = headers["authorization"] ?? headers["x-api-key"] ?? searchParams.get("key") ?? body;
  if (!/^basic /i.test(authorization)) return authorization.replace(/^bearer /i, "");
  return Buffer.from(authorization.slice(6), "base64").toString();
}

async function answer(arrived: Arrived, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(arrived.url, "http://local");
  const credential = credentialOf(arrived);
  if (pathname.startsWith("/redirect")) {
    const location = (searchParams.get("to") ?? "").replaceAll("CREDENTIAL", encodeURIComponent(credential));
    return void response
      .writeHead(Number(searchParams.get("status") ?? (pathname.slice(9) || 302)), { location })
      .end("moved");
  }
  if (pathname === "/starts-with") {
    return void response.writeHead(credential.startsWith(searchParams.get("p") ?? "") ? 200 : 404).end();
  }
  if (pathname === "/spelled") {
    const spelled = spellings[searchParams.get("as") ?? "plain"]!(credential);
    return void response.end(spelled);
  }
  if (pathname === "/spelled-behind") {
    // What stands before the value stays as it is.
    const [, before = "", behind = ""] = /^(\[REDACTED(?::\w+\])?)?(.*)$/s.exec(credential) ?? [];
    return void response.end(before + String(spellings[searchParams.get("as") ?? "plain"]!(behind)));
  }
  if (pathname === "/coded") {
    const asked = searchParams.get("as") ?? "gzip";
    const coding = asked === "many" ? Array.from({ length: 12_000 }, () => "br").join(",") : asked;
    response.writeHead(200, { "content-encoding": coding });
    const encode = codings[coding] ?? ((bytes: Buffer): Buffer => bytes);
    return void response.end(encode(Buffer.from(`<<${credential}>>`)));
  }
  if (pathname === "/odd-status") {
    response.writeHead(Number(searchParams.get("status")), { "content-encoding": "gzip" });
    return void response.end(gzipSync(`<${credential}>`));
  }
  if (pathname === "/in-head-as-utf8") {
    response.writeHead(200, { "x-echo": Buffer.from(credential, "latin1").toString("latin1") });
    return void response.end();
  }
  if (pathname === "/cut") {
    response.write("begun");
    return void setTimeout(() => response.destroy(), 20);
  }
  if (pathname === "/in-head") {
    response.writeHead(200, `OK ${credential}`, {
      "x-echo": credential,
      "set-cookie": [`a=${credential}`, `b=${Buffer.from(credential).toString("base64")}`],
    });
    return void response.end();
  }
  if (pathname === "/byte-by-byte") {
    for (const character of `<${credential}>`) {
      response.write(character);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return void response.end();
  }
  if (pathname === "/pauses") {
    response.write(`part ${credential.slice(0, 1)}`);
    await new Promise((resolve) => setTimeout(resolve, 800));
    return void response.end(".");
  }
  if (pathname === "/events") {
    for (let i = 0; i < 3; i++) {
      response.write(`data: ${JSON.stringify({ i, credential })}\n\n`);
      await new Promise((resolve) => setTimeout(resolve, 400));
    }
    return void response.end();
  }
  response.writeHead(200, { "content-type": "application/json" });
  response.end(JSON.stringify(arrived));
}

export async function startUpstream({ tls = true }: { tls?: boolean } = {}): Promise<Upstream> {
  const arrived: Arrived[] = [];
  const receive = (request: IncomingMessage, response: ServerResponse): void => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "", rawHeaders } = request;
      const body = Buffer.concat(chunks).toString();
      const headers = Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)]));
      const one: Arrived = { method, url, headers, body, text: [method, url, ...rawHeaders, body].join("\n") };
      arrived.push(one);
      void answer(one, response);
    });
  };
  const options = {
    key: readFileSync(path.join(folder, "server.key")),
    cert: readFileSync(path.join(folder, "server.pem")),
  };
  const server = tls ? createTlsServer(options, receive) : createServer(receive);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    arrived,
    take: () => arrived.splice(0),
    close(): void {
      server.closeAllConnections();
      server.close();
    },
  };
}
