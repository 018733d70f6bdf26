/**
 * An issuer of tokens on loopback: its configuration, its keys and the tokens that it signs, and every way in which such a
 * server can misbehave. Counts what it is asked for.
 */
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from "jose";

export type Behaviour = "good" | "slow" | "redirect" | "large" | "broken" | "error" | "empty";

export interface Issuer {
  readonly url: string;
  /** How often its keys were asked for. */
  asked(): number;
  behave(behaviour: Behaviour): void;
  /** What its configuration says instead of the truth. */
  pretend(configuration: Record<string, unknown>): void;
  /** Another key, published beside the others or instead of them. */
  rotate(kid: string, keep?: boolean): Promise<void>;
  publish(keys: readonly JWK[]): void;
  readonly published: readonly JWK[];
  /** Signed with the key in use; `header` and `claims` replace what is usual, undefined takes it away. */
  token(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
  privateKey(): CryptoKey;
  stop(): Promise<void>;
  start(): Promise<void>;
}

export const audience = "stepvault";

export async function startIssuer(): Promise<Issuer> {
  let behaviour: Behaviour = "good";
  let configuration: Record<string, unknown> = {};
  let keys: JWK[] = [];
  let asked = 0;
  let current!: { kid: string; privateKey: CryptoKey };
  let port = 0;
  const answer = (response: ServerResponse, body: unknown): void => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(body));
  };
  const server = createServer((request, response) => {
    const here = `http://127.0.0.1:${port}`;
    if (request.url === "/.well-known/openid-configuration")
      return answer(response, { issuer: here, jwks_uri: `${here}/keys`, ...configuration });
    if (request.url === "/elsewhere") return answer(response, { keys });
    asked += 1;
    if (behaviour === "slow") return;
    if (behaviour === "redirect") return void response.writeHead(302, { location: `${here}/elsewhere` }).end();
    if (behaviour === "large") return answer(response, { keys, padding: "x".repeat(10 << 20) });
    if (behaviour === "broken") return void response.end("{ keys");
    if (behaviour === "empty") return answer(response, {});
    if (behaviour === "error") return void response.writeHead(500).end();
    answer(response, { keys });
  });
  const start = async (): Promise<void> => {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    ({ port } = server.address() as AddressInfo);
  };
  const rotate = async (kid: string, keep = false): Promise<void> => {
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" };
    keys = keep ? [...keys, jwk] : [jwk];
    current = { kid, privateKey };
  };
  await start();
  await rotate("first");
  const url = `http://127.0.0.1:${port}`;
  return {
    url,
    asked: () => asked,
    behave: (wanted) => void (behaviour = wanted),
    pretend: (wanted) => void (configuration = wanted),
    rotate,
    publish: (wanted) => void (keys = [...wanted]),
    get published() {
      return keys;
    },
    async token(claims = {}, header = {}) {
      const now = Math.floor(Date.now() / 1_000);
      const usual = { iss: url, aud: audience, sub: "ada", iat: now, exp: now + 300 };
      const payload = { ...usual, ...claims } as JWTPayload;
      for (const [name, value] of Object.entries(payload)) if (value === undefined) delete payload[name];
      const { kid, privateKey } = current;
      return await new SignJWT(payload).setProtectedHeader({ alg: "RS256", kid, ...header }).sign(privateKey);
    },
    privateKey: () => current.privateKey,
    async stop() {
      server.closeAllConnections();
      if (!server.listening) return;
      server.close();
      await once(server, "close");
    },
    start,
  };
}
