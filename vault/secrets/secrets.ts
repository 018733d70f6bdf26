/**
 * Writing secrets of a project or of an organization: values, policies and going back to an earlier version. Each change is
 * authorized, audited and made in one transaction, and sealed before it reaches a statement; no value is given to a caller.
 * Descriptions, switches and ends are in secret-metadata.ts and secret-ends.ts.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import {
  readablePolicy,
  sealedCharactersMin,
  type SecretPolicy,
  type SecretPolicyInput,
} from "../../protocol/secret-policy.ts";
import type { SecretPointerInput } from "../../protocol/secret-source.ts";
import { type SecretName, secretValueBytesMax } from "../../protocol/secret.ts";
import type { Permission } from "../tenancy/authorize.ts";
import type { SecretContext } from "./context.ts";
import { parsePolicy } from "./policies.ts";
import {
  checkCount,
  checkVersionNumber,
  lockSecret,
  openStored,
  parseSecretName,
  provideSecret,
  secretError,
  type SecretRow,
  wasSealedSince,
} from "./secret-rows.ts";
import { changeSecret, type SecretAt } from "./secret-change.ts";
import { type Metadata, metadataDetails, refuseShown, writeMetadata } from "./secret-metadata.ts";
import type { Project } from "../tenancy/tenancy.ts";
import type { ChangedState } from "../encryption/update-manifest.ts";
import { addVersion } from "./versions.ts";

export interface NewValue extends SecretAt, Metadata {
  /** The value, or where it is kept instead: one of the two. */
  readonly value?: string | undefined;
  readonly source?: SecretPointerInput | undefined;
  /** Without one the secret keeps the policy that it has; a new one is readable. */
  readonly policy?: SecretPolicyInput | undefined;
  /** The version that the secret must be at; 0: it must not exist. */
  readonly ifVersion?: number | undefined;
  /** Ends the version before this one by itself, once no run used it for so many hours. */
  readonly endUnusedHours?: number | undefined;
}

const endUnusedHoursMax = 8_760;

/**
 * Stores a value as the next version of a secret, making the secret when it is new and restoring it when it was deleted, and
 * gives the version. Throws ERR_SECRET_NAME_INVALID, ERR_SECRET_VALUE_INVALID, ERR_SECRET_POLICY_INVALID,
 * ERR_SECRET_METADATA_INVALID, ERR_SECRET_SOURCE_UNKNOWN, ERR_SECRET_VERSION_CONFLICT, ERR_SECRET_LIMIT, ERR_SECRET_TAMPERED
 * when the policy to be kept is not the one that was sealed, ERR_SECRET_DESTROYED when it was destroyed with its version, and
 * what `authorize` throws.
 */
export async function setSecret(context: SecretContext, request: NewValue): Promise<number> {
  const parsed = parseNewValue(request);
  return await changeSecret(context, { ...request, event: "secret.set" }, async (client, at) => {
    const { version, secret } = await storeSecret(client, context, { ...parsed, ...at });
    return { result: version, secret, version, details: { ...metadataDetails(request), ...detailsOf(request) } };
  });
}

type ParsedValue = Omit<NewValue, "name" | "policy"> & {
  readonly name: SecretName;
  readonly policy: SecretPolicy | undefined;
};

/** What can be told without the database. */
export function parseNewValue(request: NewValue): ParsedValue {
  const name = parseSecretName(request.name);
  const { value, source, policy, endUnusedHours } = request;
  // Names are shown everywhere, and in the very messages.
  if (value?.trim() === name && name.length >= sealedCharactersMin)
    throw new StepvaultError("ERR_SECRET_NAME_INVALID", "Cannot set the secret: its name is the value itself");
  if ((value === undefined) === (source === undefined))
    throw secretError("ERR_SECRET_VALUE_INVALID", "set", {
      name,
      why: "it takes a value or a source, and one of them",
    });
  checkHours(name, endUnusedHours);
  if (value !== undefined) checkValue(name, value);
  return { ...request, name, policy: policy === undefined ? undefined : parsePolicy(policy, `set the secret ${name}`) };
}

/** `setSecret` within a transaction; the import of many uses it too. */
export async function storeSecret(
  client: Queryable,
  { master, actor, sources }: SecretContext,
  request: ParsedValue & { permission: Permission; project: Project },
): Promise<{ version: number; secret: SecretRow }> {
  const { name, project, permission, source, policy: given } = request;
  const secret = await provideSecret(client, { project, name });
  checkVersion(secret, request.ifVersion);
  let next: SecretPolicy = given ?? readablePolicy;
  const fresh = given === undefined && secret.version === 0;
  if (given === undefined && !fresh)
    next = (await openStored(client, master, { project, name, action: "keep the policy of" })).policy;
  next = parsePolicy({ ...next, source }, `set the secret ${name}`);
  if (next.source !== undefined) sources.check(next.source);
  const value = request.value ?? "";
  await writeMetadata(client, master, { ...request, permission, project, secret, value });
  const changed: ChangedState[] = [];
  if (secret.deleted) {
    await client.query("update secrets set deleted_at = null where id = $1", [secret.id]);
    changed.push("deleted");
  }
  if (request.expiresAt !== undefined) changed.push("expiresAt");
  if (request.access !== undefined) changed.push("access");
  if (request.endUnusedHours !== undefined) {
    await client.query("update secret_versions set end_unused_hours = $3 where secret_id = $1 and version = $2", [
      secret.id,
      secret.version,
      request.endUnusedHours,
    ]);
  }
  const version = await addVersion(client, master, { project, secret, value, policy: next, actor, changed, fresh });
  if (secret.version === 0) await checkCount(client, project, name);
  return { version, secret };
}

/**
 * Stores the same value with another policy as the next version of a secret, and gives the version. A sealed secret does
 * not become readable: who sets a policy need not know the value, and could then have a step tell it. Nor does it change
 * where the value is kept. Throws ERR_SECRET_NAME_INVALID, ERR_SECRET_POLICY_INVALID, ERR_SECRET_VALUE_INVALID when the
 * value is too short to be sealed, ERR_SECRET_UNKNOWN, ERR_SECRET_VERSION_CONFLICT, ERR_SECRET_TAMPERED, and what
 * `authorize` throws.
 */
export async function setSecretPolicy(
  context: SecretContext,
  request: SecretAt & { policy: SecretPolicyInput; ifVersion?: number | undefined },
): Promise<number> {
  const name = parseSecretName(request.name);
  const action = "set the policy of";
  const given = parsePolicy(request.policy, `${action} the secret ${name}`);
  return await changeSecret(context, { ...request, event: "secret.policy.set" }, async (client, { project }) => {
    const { master, actor } = context;
    const secret = await lockSecret(client, { project, name, action });
    checkVersion(secret, request.ifVersion);
    const current = await openStored(client, master, { project, name, action });
    refuseUnsealing(current.policy, given, { action, name });
    const { value } = current;
    const policy = parsePolicy({ ...given, source: current.policy.source }, `${action} the secret ${name}`);
    const version = await addVersion(client, master, { project, secret, value, policy, actor });
    return { result: version, secret, version, details: { sealed: policy.sealed, hosts: policy.hosts.length } };
  });
}

/**
 * Stores the value and the policy of an earlier version as the next version, and gives that. A value that was ever sealed does
 * not become readable in this way either. Throws ERR_SECRET_UNKNOWN, ERR_SECRET_DELETED, ERR_SECRET_VERSION_UNKNOWN,
 * ERR_SECRET_DESTROYED, ERR_SECRET_POLICY_INVALID, ERR_SECRET_METADATA_INVALID when the value is in a description that was
 * written since, ERR_SECRET_VERSION_CONFLICT, ERR_SECRET_TAMPERED, and what `authorize` throws.
 */
export async function rollbackSecret(
  context: SecretContext,
  request: SecretAt & { toVersion: number; ifVersion?: number | undefined },
): Promise<number> {
  const name = parseSecretName(request.name);
  const [action, { toVersion }] = ["roll back", request];
  checkVersionNumber(toVersion, { name, action });
  return await changeSecret(context, { ...request, event: "secret.rollback" }, async (client, { project }) => {
    const { master, actor } = context;
    const secret = await lockSecret(client, { project, name, action });
    if (secret.deleted)
      throw secretError("ERR_SECRET_DELETED", action, { name, why: "it is deleted; restore it first" });
    checkVersion(secret, request.ifVersion);
    const opened = await openStored(client, master, { project, name, version: toVersion, action });
    const { value, policy } = opened;
    if (await wasSealedSince(client, { project, name, opened }))
      throw secretError("ERR_SECRET_POLICY_INVALID", action, { name, why: `it was sealed after version ${toVersion}` });
    await refuseShown(client, { secret, value });
    const version = await addVersion(client, master, { project, secret, value, policy, actor });
    return { result: version, secret, version, details: { toVersion } };
  });
}

function refuseUnsealing(
  current: SecretPolicy,
  next: SecretPolicy,
  { action, name }: { action: string; name: string },
): void {
  if (!current.sealed || next.sealed) return;
  const why = "it is sealed, and becomes readable only when its value is given again with a readable policy";
  throw secretError("ERR_SECRET_POLICY_INVALID", action, { name, why });
}

function checkVersion({ name, version, deleted }: SecretRow, expected: number | undefined): void {
  // One that was deleted is not there for who expects none.
  if (expected === undefined || expected === version || (expected === 0 && deleted)) return;
  const why = `it is at version ${version}${deleted ? ", deleted" : ""}, and version ${expected} was expected`;
  throw secretError("ERR_SECRET_VERSION_CONFLICT", "set", { name, why });
}

function detailsOf({ source, endUnusedHours, policy }: NewValue): Record<string, string | number | boolean> {
  return {
    ...(source !== undefined && { source: true }),
    ...(endUnusedHours !== undefined && { endUnusedHours }),
    ...(policy?.sealed !== undefined && { sealed: policy.sealed }),
  };
}

function checkHours(name: string, hours: number | undefined): void {
  if (hours === undefined || (Number.isInteger(hours) && hours >= 1 && hours <= endUnusedHoursMax)) return;
  const why = `the version before it is to end after ${hours} hours without use, 1 to ${endUnusedHoursMax} are allowed`;
  throw secretError("ERR_SECRET_METADATA_INVALID", "set", { name, why });
}

function checkValue(name: string, value: string): void {
  const bytes = Buffer.byteLength(value, "utf8");
  if (bytes < 1 || bytes > secretValueBytesMax) {
    throw new StepvaultError(
      "ERR_SECRET_VALUE_INVALID",
      `Cannot set the secret ${name}: its value has ${bytes} bytes, 1 to ${secretValueBytesMax} are allowed`,
    );
  }
  if (!value.isWellFormed()) {
    throw new StepvaultError(
      "ERR_SECRET_VALUE_INVALID",
      `Cannot set the secret ${name}: its value holds half a surrogate pair, which UTF-8 cannot hold`,
    );
  }
}
