/**
 * Reading credentials and switches of inheritance as their rows are, with what proves them: the keys and manifests of a project
 * and of its organization, all in one statement and therefore of one moment, whatever is written meanwhile. What comes out
 * was compared with the manifests, or says that it is not what was written. Decrypts keys and no value.
 */
import { createHash } from "node:crypto";
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { Integration } from "../../protocol/integrations.ts";
import { credentialEntry, credentialName, type Slot, switchEntry, switchName } from "./credential-entries.ts";
import type { CredentialLevel, ShownField } from "./credentials.ts";
import { SealBrokenError } from "../encryption/crypto.ts";
import { columnsOfProjectKey, joinOfProjectKey, projectKeyOf, type ProjectKeyRow } from "../encryption/data-keys.ts";
import type { Standing } from "./gates.ts";
import type { InheritanceSwitch } from "./inheritance.ts";
import type { Manifest } from "../encryption/manifest.ts";
import type { MasterKey } from "../encryption/master-key.ts";
import { type StoredProject, withOpenProject } from "../secrets/stored-versions.ts";

export interface StoredCredential extends Slot {
  readonly id: string;
  readonly version: number;
  readonly disabled: boolean;
  readonly fields: string;
  readonly ciphertextDigest: Buffer;
  /** When it was asked for. */
  readonly ciphertext: Buffer | undefined;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** What a project or an organization has, as it was read. */
export interface StoredLevel {
  readonly level: CredentialLevel;
  /** Whose manifest lists it; an organization that never had anything has none. */
  readonly project: StoredProject | undefined;
  readonly credentials: readonly StoredCredential[];
  readonly switches: readonly InheritanceSwitch[];
}

/** The same with what proves it at hand. */
export interface OpenLevel extends StoredLevel {
  readonly key: Buffer | undefined;
  /** None where nothing was ever written. */
  readonly manifest: Manifest | undefined;
  /** The key or the manifest is not the one that was stored: nothing is proven. */
  readonly broken: boolean;
}

interface Row extends ProjectKeyRow, Standing {
  readonly level: CredentialLevel;
  readonly projectId: string | null;
  readonly counter: string | null;
  readonly entries: string | null;
  readonly mac: Buffer | null;
  readonly credentials: readonly {
    readonly id: string;
    readonly integration: string;
    readonly version: number;
    readonly disabled: boolean;
    readonly fields: string;
    /** Hexadecimal. */
    readonly digest: string;
    /** Base64. */
    readonly ciphertext: string | null;
    readonly createdAt: string;
    readonly updatedAt: string;
  }[];
  readonly switches: readonly InheritanceSwitch[];
}

/** What to read, where. */
export interface Wanted {
  readonly levels: readonly CredentialLevel[];
  readonly organizationId: string;
  readonly projectId?: string | undefined;
  /** Without one, all. */
  readonly integration?: string | undefined;
  readonly ciphertexts?: boolean;
}

/** The levels in the order in which they were asked for. Throws ERR_PROJECT_UNKNOWN. */
export async function readLevels(
  database: Queryable,
  { levels, organizationId, projectId, integration, ciphertexts = false }: Wanted,
): Promise<{ levels: StoredLevel[]; standing: Standing }> {
  const { rows } = await database.query<Row>(
    `select w.level, p.id as "projectId", ${columnsOfProjectKey}, m.counter, m.entries, m.mac,
            coalesce(t.plan, 'free') as plan, coalesce(t.rolled_out, false) as "rolledOut",
            (select coalesce(json_agg(json_build_object(
                      'id', c.id, 'integration', c.integration, 'version', c.version, 'disabled', c.disabled_at is not null,
                      'fields', c.fields, 'digest', encode(sha256(c.ciphertext), 'hex'),
                      'ciphertext', case when $5 then encode(c.ciphertext, 'base64') end,
                      'createdAt', c.created_at, 'updatedAt', c.updated_at) order by c.integration), '[]')
             from credentials c where c.organization_id = $2 and ($4::text is null or c.integration = $4)
               and coalesce(c.project_id, c.organization_id) = case w.level when 'project' then $3::uuid else $2 end) as credentials,
            (select coalesce(json_agg(json_build_object(
                      'class', i.class, 'integration', i.integration, 'inherits', i.inherits)
                      order by i.integration, i.class), '[]')
             from credential_inheritance i where w.level = 'project' and i.project_id = $3) as switches
     from unnest($1::text[]) with ordinality as w (level, place)
     left join projects p on p.organization_id = $2 and p.shared = (w.level = 'organization')
       and p.id = case w.level when 'project' then $3 else (select id from projects where organization_id = $2 and shared) end
     ${joinOfProjectKey}
     left join secret_manifests m on m.project_id = p.id
     left join organization_credential_settings t on t.organization_id = $2
     order by w.place`,
    [levels, organizationId, projectId ?? null, integration ?? null, ciphertexts],
  );
  const { plan, rolledOut } = rows[0]!;
  if (rows.some((row) => row.level === "project" && row.projectId === null))
    throw new StepvaultError("ERR_PROJECT_UNKNOWN", `Cannot find the project ${projectId}: no such id`);
  return { levels: rows.map((row) => levelOf(row, organizationId)), standing: { plan, rolledOut } };
}

function levelOf(row: Row, organizationId: string): StoredLevel {
  const { level, projectId: id, counter, entries, mac, switches } = row;
  const manifest = counter === null || entries === null || mac === null ? undefined : { counter, entries, mac };
  const shared = level === "organization";
  const project = id === null ? undefined : { id, organizationId, shared, key: projectKeyOf(row), manifest };
  const credentials = row.credentials.map(
    ({ digest, ciphertext: text, createdAt, updatedAt, ...more }): StoredCredential => {
      const ciphertext = text === null ? undefined : Buffer.from(text, "base64");
      return {
        ...more,
        organizationId,
        projectId: shared ? null : id,
        // Of what is going to be opened, by what came here and not by what the database says of it.
        ciphertextDigest:
          ciphertext === undefined ? Buffer.from(digest, "hex") : createHash("sha256").update(ciphertext).digest(),
        ciphertext,
        createdAt: new Date(createdAt),
        updatedAt: new Date(updatedAt),
      };
    },
  );
  return { level, project, credentials, switches };
}

/** Runs `work` with what proves a level; its key is zeroed afterwards. Throws ERR_MASTER_KEY_INVALID, ERR_KMS_UNAVAILABLE. */
export async function withOpenLevel<T>(
  master: MasterKey,
  stored: StoredLevel,
  work: (level: OpenLevel) => T | Promise<T>,
): Promise<T> {
  const { project } = stored;
  const unknown = { ...stored, key: undefined, manifest: undefined };
  if (project === undefined || (project.key === undefined && project.manifest === undefined))
    return await work({ ...unknown, broken: false });
  let opened = false;
  try {
    return await withOpenProject(master, project, async ({ key, manifest }) => {
      opened = true;
      return await work({ ...stored, key, manifest, broken: false });
    });
  } catch (error) {
    if (opened || !(error instanceof SealBrokenError)) throw error;
  }
  return await work({ ...unknown, broken: true });
}

/** What there is of a credential: nothing, one as it was written, or why it is not. */
export type Found =
  | { readonly is: "absent" }
  | { readonly is: "changed"; readonly why: string }
  | { readonly is: "written"; readonly stored: StoredCredential; readonly shown: readonly ShownField[] };

export function findCredential(level: OpenLevel, integration: string): Found {
  if (level.broken) return changed("the key or the manifest of its place was changed");
  const stored = level.credentials.find((entry) => entry.integration === integration);
  const entry = level.manifest?.get(credentialName(integration));
  const listed = entry !== undefined && !entry.state.deleted;
  if (stored === undefined) return listed ? changed("its row was removed") : { is: "absent" };
  if (!listed) return changed("its row was added");
  if (entry.digest !== credentialEntry(stored).digest) return changed("its row is not the one that was written");
  if (entry.state.disabled !== stored.disabled) return changed("it was switched on or off");
  const shown = parseFields(stored.fields);
  if (shown === undefined) return changed("its fields are none");
  return { is: "written", stored, shown };
}

function changed(why: string): Found {
  return { is: "changed", why };
}

/** The switches that may decide for an integration; undefined when one of them is not as it was written. */
export function findSwitches(level: OpenLevel, integration: Integration): InheritanceSwitch[] | undefined {
  const found: InheritanceSwitch[] = [];
  for (const name of ["", integration.id]) {
    const at = { class: integration.class, integration: name };
    const stored = level.switches.find((entry) => entry.class === at.class && entry.integration === at.integration);
    if (stored === undefined && (level.broken || level.manifest?.has(switchName(at)) === true)) return undefined;
    if (stored === undefined) continue;
    if (!isWritten(level, stored)) return undefined;
    found.push(stored);
  }
  return found;
}

/** Whether a switch says what was written. */
export function isWritten({ broken, project, manifest }: OpenLevel, stored: InheritanceSwitch): boolean {
  const entry = manifest?.get(switchName(stored));
  if (broken || project === undefined || entry === undefined) return false;
  return entry.digest === switchEntry({ ...stored, projectId: project.id }).digest;
}

function parseFields(text: string): ShownField[] | undefined {
  try {
    const fields: unknown = JSON.parse(text);
    return Array.isArray(fields) ? (fields as ShownField[]) : undefined;
  } catch {
    return undefined;
  }
}
