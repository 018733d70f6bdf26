/**
 * A local server that speaks the Transit engine of HashiCorp Vault and OpenBao, as far as vault/encryption/kms-transit.ts uses it:
 * encrypt, decrypt, read and rotate of an aes256-gcm96 key with versions and associated data, and the answers when a token
 * is wrong or the server sealed. Written from the engine's documentation; it is not the engine.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { type KmsReply, type KmsRequestSeen, type KmsServer, listen } from "./kms-server.ts";

export interface TransitServer extends KmsServer {
  readonly token: string;
  minDecryptionVersion: number;
}

/** All of these servers know the same one. */
const token = `hvs.${randomBytes(12).toString("base64url")}`;

export async function startTransit(name = "stepvault"): Promise<TransitServer> {
  const versions = [randomBytes(32)];
  const listening = await listen(answer, failure(503, "Vault is sealed"));
  const transit: TransitServer = Object.assign(listening, {
    source: `transit:${listening.origin}/v1/transit/keys/${name}`,
    token,
    secrets: [token],
    calls: [],
    minDecryptionVersion: 1,
    rotate: () => void versions.push(randomBytes(32)),
  });
  return transit;

  async function answer({ url, headers, body }: KmsRequestSeen): Promise<KmsReply> {
    if (headers["x-vault-token"] !== token) return failure(403, "permission denied");
    const [, operation = "", key] = /^\/v1\/transit\/(encrypt|decrypt|keys)\/([\w.-]+)$/.exec(url) ?? [];
    transit.calls.push(operation === "keys" ? "describe" : operation);
    if (key !== name) return operation === "keys" ? failure(404) : failure(400, "encryption key not found");
    if (operation === "keys") {
      const data = { name, type: "aes256-gcm96", latest_version: versions.length, supports_encryption: true };
      return { status: 200, body: { data } };
    }
    const input = JSON.parse(body) as Record<string, string>;
    const associated = Buffer.from(input["associated_data"] ?? "", "base64");
    return operation === "encrypt"
      ? encrypt(Buffer.from(input["plaintext"] ?? "", "base64"), associated)
      : decrypt(input["ciphertext"] ?? "", associated);
  }

  function encrypt(plaintext: Buffer, associated: Buffer): KmsReply {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", versions.at(-1)!, nonce).setAAD(associated);
    const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    const ciphertext = `vault:v${versions.length}:${sealed.toString("base64")}`;
    return { status: 200, body: { data: { ciphertext, key_version: versions.length } } };
  }

  function decrypt(ciphertext: string, associated: Buffer): KmsReply {
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

function failure(status: number, ...errors: string[]): KmsReply {
  return { status, body: { errors } };
}
