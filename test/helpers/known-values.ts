/**
 * Everything that a vault keeps secret, read as the vault itself reads it: the values of every version of every secret, the
 * organizations' own among them, the secret fields of credentials, and the keys of every layer. For the search that proves
 * that none of it is anywhere else. What a test has tampered with does not open: it is counted, and there is nothing
 * to look for.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Queryable, Transactional } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { openCredential, type SealedRow } from "../../vault/credentials/credential-sealer.ts";
import { SealBrokenError } from "../../vault/encryption/crypto.ts";
import { forgetPeppers, openPeppers } from "../../vault/platform-keys/deployment-keys.ts";
import type { KeySettings } from "../../vault/encryption/key-sources.ts";
import { type MasterKey, openMasterKey } from "../../vault/encryption/master-key.ts";
import { findOrganizationKey, unwrapOrganizationKey } from "../../vault/encryption/organization-keys.ts";
import { readProjectVersions, type StoredVersion, withOpenProject } from "../../vault/secrets/stored-versions.ts";
import { openInProject } from "../../vault/secrets/versions.ts";

/** What must not be found, with what is said in its stead. */
export interface Known {
  readonly values: readonly { readonly value: string; readonly label: string }[];
  readonly keys: readonly { readonly key: Buffer; readonly label: string }[];
  /** How many stored values and keys did not open. */
  readonly unopened: number;
}

interface Collected {
  values: { value: string; label: string }[];
  keys: { key: Buffer; label: string }[];
  unopened: number;
}

type Source = Queryable & Transactional;

/** Throws what opening the master key throws. */
export async function knownValues(database: Source, settings: KeySettings): Promise<Known> {
  const known: Collected = { values: [], keys: await rootKeys(settings), unopened: 0 };
  // Opening an empty vault would make its key.
  const { rows } = await database.query("select 1 from master_keys limit 1");
  if (rows.length === 0) return known;
  const master = await openMasterKey(database, settings);
  try {
    await addOrganizationKeys(database, master, known);
    await addPeppers(database, master, known);
    await addSecrets(database, master, known);
    await addCredentials(database, master, known);
  } finally {
    master.close();
  }
  return known;
}

/** The bytes of root keys that are given locally; one in a service is not to be had. */
export async function rootKeys(settings: KeySettings): Promise<Collected["keys"]> {
  const { masterKey, masterKeyNext, dataDir } = settings;
  const files = ["master.key", "master.key.next"].map(
    async (name) => await readFile(join(dataDir, name), "utf8").catch(() => ""),
  );
  const texts = [masterKey, masterKeyNext, ...(await Promise.all(files))].map((text) => (text ?? "").trim());
  const keys = texts.filter((text) => text !== "").map((text) => Buffer.from(text, "base64"));
  return keys.map((key) => ({ key, label: "the root key" }));
}

/** Counts what was tampered with, instead of failing for it. */
async function orUnopened(known: Collected, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isTampered(error)) throw error;
    known.unopened += 1;
  }
}

function isTampered(error: unknown): boolean {
  return error instanceof SealBrokenError || (error instanceof StepvaultError && error.code === "ERR_SECRET_TAMPERED");
}

async function addOrganizationKeys(database: Source, master: MasterKey, known: Collected): Promise<void> {
  const { rows } = await database.query<{ id: string }>("select organization_id as id from organization_keys");
  for (const { id } of rows) {
    await orUnopened(known, async () => {
      const wrapped = await findOrganizationKey(database, id);
      known.keys.push({
        key: await unwrapOrganizationKey(master, id, wrapped!),
        label: `the key of the organization ${id}`,
      });
    });
  }
}

async function addPeppers(database: Source, master: MasterKey, known: Collected): Promise<void> {
  const { rows } = await database.query("select 1 from deployment_keys limit 1");
  if (rows.length === 0) return;
  await orUnopened(known, async () => {
    const pepper = await openPeppers(database, master);
    for (const { key, version } of [pepper, ...(pepper.earlier ?? [])])
      known.keys.push({ key: Buffer.from(key), label: `pepper ${version}` });
    forgetPeppers(pepper);
  });
}

async function addSecrets(database: Source, master: MasterKey, known: Collected): Promise<void> {
  const { rows } = await database.query<{ projectId: string; version: number; names: string[] }>(
    `select s.project_id as "projectId", v.version, array_agg(s.name) as names
     from secrets s join secret_versions v on v.secret_id = s.id where v.destroyed_at is null
     group by s.project_id, v.version order by s.project_id, v.version`,
  );
  for (const wanted of rows) {
    const stored = await readProjectVersions(database, wanted);
    if (stored === undefined) continue;
    const { project, versions } = stored;
    await orUnopened(known, async () => {
      await withOpenProject(master, project, async (open) => {
        known.keys.push({ key: Buffer.from(open.key), label: `the key of the project ${project.id}` });
        for (const version of versions) {
          await orUnopened(known, async () => {
            const { value } = openInProject(open, version, refuseTampered);
            known.values.push({ value, label: labelOf(version) });
          });
        }
      });
    });
  }
}

const refuseTampered = (why: string): StepvaultError => new StepvaultError("ERR_SECRET_TAMPERED", why);

const labelOf = ({ name, version, project }: StoredVersion): string =>
  `version ${version} of the secret ${name} of ${project.shared ? "an organization" : "a project"}`;

/** Those of an organization are under the key of the project that holds its own secrets. */
async function addCredentials(database: Source, master: MasterKey, known: Collected): Promise<void> {
  const { rows } = await database.query<SealedRow & { holderId: string | null; ciphertext: Buffer }>(
    `select c.organization_id as "organizationId", c.project_id as "projectId", c.integration, c.version, c.fields, c.ciphertext,
       coalesce(c.project_id, p.id) as "holderId"
     from credentials c left join projects p on p.organization_id = c.organization_id and p.shared where c.version > 0`,
  );
  for (const { holderId, ciphertext, ...row } of rows) {
    await orUnopened(known, async () => {
      if (holderId === null) throw new SealBrokenError();
      const holder = await readProjectVersions(database, { projectId: holderId, names: [] });
      const fields = await withOpenProject(master, holder!.project, ({ key }) => openCredential(key, row, ciphertext));
      for (const [name, value] of Object.entries(fields))
        known.values.push({ value, label: `${name} of the credential of ${row.integration}` });
    });
  }
}
