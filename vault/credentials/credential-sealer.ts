/**
 * Sealing of credentials: the secret fields of one as a JSON document, under a key for this purpose alone that comes from the
 * key of the project whose manifest lists it, and bound to everything that the row says. Who moves or edits a row gets no
 * value; that it is the last one written is the manifest's to say. Knows no rows and imports no database.
 */
import type { Slot } from "./credential-entries.ts";
import { deriveKey, open, seal, withKey } from "../encryption/crypto.ts";

/** What of a row its ciphertext is bound to. */
export interface SealedRow extends Slot {
  readonly version: number;
  /** The names of all fields and the values of those that are shown, in the very characters that are stored. */
  readonly fields: string;
}

export function sealCredential(projectKey: Buffer, row: SealedRow, secret: Readonly<Record<string, string>>): Buffer {
  const plaintext = Buffer.from(JSON.stringify(secret), "utf8");
  return withKey(plaintext, () => withSealKey(projectKey, (key) => seal(key, contextOf(row), plaintext)));
}

/** The secret fields. Throws SealBrokenError for what was not sealed under this key for this row. */
export function openCredential(projectKey: Buffer, row: SealedRow, ciphertext: Buffer): Record<string, string> {
  const plaintext = withSealKey(projectKey, (key) => open(key, contextOf(row), ciphertext));
  return withKey(plaintext, () => JSON.parse(plaintext.toString("utf8")) as Record<string, string>);
}

function withSealKey(projectKey: Buffer, work: (key: Buffer) => Buffer): Buffer {
  return withKey(deriveKey(projectKey, "seal credential"), work);
}

function contextOf({ organizationId, projectId, integration, version, fields }: SealedRow): string[] {
  const level = projectId === null ? "organization" : "project";
  return ["credential", level, organizationId, projectId ?? "", integration, String(version), fields];
}
