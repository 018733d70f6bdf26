/**
 * A local server that speaks the Transit engine of HashiCorp Vault and OpenBao, as far as vault/kms-transit.ts uses it:
 * encrypt, decrypt, read and rotate of an aes256-gcm96 key with versions and associated data, and the answers when a token
 * is wrong, the server sealed, or silent. Written from the engine's documentation; it is not the engine.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface TransitServer {
  /** For STEPVAULT_KMS. */
  readonly source: string;
  readonly token: string;
  /** Operations that were asked for, such as `decrypt`. */
  readonly calls: string[];
  /** Bodies and URLs as they came. */
  readonly seen: string[];
  state: "up" | "sealed" | "silent";
  minDecryptionVersion: number;
  rotate(): void;
  /** Stops answering at all; the port is closed. */
  close(): Promise<void>;
}

export async function startTransit(name = "stepvault"): Promise<TransitServer> {
  const versions = [randomBytes(32)];
  const server = createServer((request, response) => {
    void answer(request).then(({ status, body }) => reply(response, status, body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const transit: TransitServer = {
    source: `transit:http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/transit/keys/${name}`,
    token: `hvs.${randomBytes(12).toString("base64url")}`,
    calls: [],
    seen: [],
    state: "up",
    minDecryptionVersion: 1,
    rotate: () => void versions.push(randomBytes(32)),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return transit;

  async function answer(request: IncomingMessage): Promise<{ status: number; body: object }> {
    const body = await text(request);
    transit.seen.push(`${request.url ?? ""} ${body}`);
    if (transit.state === "silent") return await new Promise(() => {});
    if (transit.state === "sealed") return failure(503, "Vault is sealed");
    if (request.headers["x-vault-token"] !== transit.token) return failure(403, "permission denied");
    const [, operation = "", key] = /^\/v1\/transit\/(encrypt|decrypt|keys)\/([\w.-]+)$/.exec(request.url ?? "") ?? [];
    transit.calls.push(operation);
    if (key !== name) return operation === "keys" ? failure(404) : failure(400, "encryption key not found");
    if (operation === "keys") {
      return {
        status: 200,
        body: { data: { name, type: "aes256-gcm96", latest_version: versions.length, supports_encryption: true } },
      };
    }
    const input = JSON.parse(body) as Record<string, string>;
    const associated = Buffer.from(input["associated_data"] ?? "", "base64");
    return operation === "encrypt"
      ? encrypt(Buffer.from(input["plaintext"] ?? "", "base64"), associated)
      : decrypt(input["ciphertext"] ?? "", associated);
  }

  function encrypt(plaintext: Buffer, associated: Buffer): { status: number; body: object } {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", versions.at(-1)!, nonce).setAAD(associated);
    const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    const ciphertext = `vault:v${versions.length}:${sealed.toString("base64")}`;
    return { status: 200, body: { data: { ciphertext, key_version: versions.length } } };
  }

  function decrypt(ciphertext: string, associated: Buffer): { status: number; body: object } {
    const [, version = "", base64 = ""] = /^vault:v(\d+):([A-Za-z0-9+/=]+)$/.exec(ciphertext) ?? [];
    const key = versions[Number(version) - 1];
    const sealed = Buffer.from(base64, "base64");
    if (key === undefined || sealed.length < 28) return failure(400, "invalid ciphertext: no prefix");
    if (Number(version) < transit.minDecryptionVersion) {
      return failure(400, "ciphertext or signature version is disallowed by policy (too old)");
    }
    try {
      const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, 12), { authTagLength: 16 });
      decipher.setAAD(associated).setAuthTag(sealed.subarray(-16));
      const plaintext = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
      return { status: 200, body: { data: { plaintext: plaintext.toString("base64") } } };
    } catch {
      return failure(400, "cipher: message authentication failed");
    }
  }
}

function failure(status: number, ...errors: string[]): { status: number; body: object } {
  return { status, body: { errors } };
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}
