/**
 * What a manifest says of credentials and of switches of inheritance, beside secrets (manifest.ts), whose names hold no blank.
 * A project's are in its own manifest, an organization's credentials in that of its shared project. A credential that was
 * removed stays listed with its last version, so that no later one has its number. Opens nothing; imports no keys.
 */
import type { Queryable } from "../../database/server.ts";
import { digest } from "../encryption/crypto.ts";

/** The slot that a credential is in. */
export interface Slot {
  readonly organizationId: string;
  readonly projectId: string | null;
  readonly integration: string;
}

/** A credential's row, its ciphertext by a digest, so that the database can compute it. */
export interface CredentialRow extends Slot {
  readonly id: string;
  readonly version: number;
  readonly disabled: boolean;
  readonly fields: string;
  readonly ciphertextDigest: Buffer;
}

export interface SwitchRow {
  readonly projectId: string;
  readonly class: string;
  /** Empty: the whole class. */
  readonly integration: string;
  readonly inherits: boolean;
}

/** What a row comes to in a manifest. */
export interface RowEntry {
  readonly name: string;
  readonly version: number;
  readonly disabled: boolean;
  readonly digest: string;
}

export function credentialName(integration: string): string {
  return `credential ${integration}`;
}

export function switchName({ class: ofClass, integration }: Pick<SwitchRow, "class" | "integration">): string {
  return integration === "" ? `inheritance ${ofClass}` : `inheritance ${ofClass} ${integration}`;
}

/** Whether an entry is a secret's: only those of others hold a blank. */
export function isSecretName(name: string): boolean {
  return !name.includes(" ");
}

export function credentialEntry(row: CredentialRow): RowEntry {
  const { id, organizationId, projectId, integration, version, disabled, fields, ciphertextDigest } = row;
  const place = projectId === null ? ["organization", organizationId] : ["project", organizationId, projectId];
  const parts = ["credential", ...place, integration, id, String(version), fields, ciphertextDigest];
  return { name: credentialName(integration), version, disabled, digest: digest(parts).toString("base64url") };
}

/** One that does not inherit is listed as disabled. A switch has no versions: what it says is all there is to it. */
export function switchEntry({ projectId, class: ofClass, integration, inherits }: SwitchRow): RowEntry {
  const text = digest(["inheritance", projectId, ofClass, integration, String(inherits)]).toString("base64url");
  return { name: switchName({ class: ofClass, integration }), version: 1, disabled: !inherits, digest: text };
}

/** The entries that the rows of a project, or of the organization whose shared project it is, would have. */
export async function readCredentialEntries(client: Queryable, projectId: string): Promise<RowEntry[]> {
  const credentials = await client.query<CredentialRow>(
    `select c.id, c.organization_id as "organizationId", c.project_id as "projectId", c.integration, c.version,
            c.disabled_at is not null as disabled, c.fields, sha256(c.ciphertext) as "ciphertextDigest"
     from projects p join credentials c on c.organization_id = p.organization_id
       and coalesce(c.project_id, c.organization_id) = case when p.shared then p.organization_id else p.id end
     where p.id = $1`,
    [projectId],
  );
  const switches = await client.query<SwitchRow>(
    `select project_id as "projectId", class, integration, inherits from credential_inheritance where project_id = $1`,
    [projectId],
  );
  return [...credentials.rows.map(credentialEntry), ...switches.rows.map(switchEntry)];
}
