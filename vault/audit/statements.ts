/**
 * Statements of an organization's vault that anybody can check with its public key, without the vault: Ed25519 over
 * `<purpose>\n<body>`. The key comes from the organization's own and signs the heads of its audit log too.
 */
import { createPublicKey, sign, verify } from "node:crypto";
import { signingKey } from "./audit.ts";

export interface SignedStatement {
  readonly purpose: string;
  readonly body: string;
  /** DER (SubjectPublicKeyInfo) in base64. */
  readonly publicKey: string;
  /** Base64. */
  readonly signature: string;
}

export function signStatement(auditKey: Buffer, purpose: string, body: string): SignedStatement {
  const privateKey = signingKey(auditKey);
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" }).toString("base64");
  return { purpose, body, publicKey, signature: sign(null, textOf(purpose, body), privateKey).toString("base64") };
}

/** Whether the statement was signed by the key that it names; whose key that is, is for the caller to know. */
export function isSigned({ purpose, body, publicKey, signature }: SignedStatement): boolean {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey, "base64"), format: "der", type: "spki" });
    return verify(null, textOf(purpose, body), key, Buffer.from(signature, "base64"));
  } catch {
    // What is no key signed nothing.
    return false;
  }
}

function textOf(purpose: string, body: string): Buffer {
  return Buffer.from(`${purpose}\n${body}`);
}
