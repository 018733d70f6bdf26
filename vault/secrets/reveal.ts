/**
 * Showing a value to a person who may see it. Not a use: it has an event of its own, written before the value is given. A
 * sealed value is shown to nobody, as sealing says that only its hosts get it.
 */
import { SecretValue } from "../../protocol/secret.ts";
import { holderOf, type SecretContext, secretAction } from "./context.ts";
import { perform } from "../audit/perform.ts";
import { checkVersionNumber, openStored, parseSecretName, secretError, wasSealedSince } from "./secret-rows.ts";
import type { SecretAt } from "./secret-change.ts";

/**
 * The value of a secret, or of one of its earlier versions. Throws ERR_SECRET_UNKNOWN, ERR_SECRET_VERSION_UNKNOWN,
 * ERR_SECRET_SEALED, ERR_SECRET_DESTROYED, ERR_SECRET_DELETED, ERR_SECRET_TAMPERED, and what `authorize` throws.
 */
export async function revealSecret(
  context: SecretContext,
  { place, version, ...request }: SecretAt & { version?: number | undefined },
): Promise<SecretValue> {
  const name = parseSecretName(request.name);
  const [action, target] = ["reveal", { type: "secret", name }];
  if (version !== undefined) checkVersionNumber(version, { name, action });
  const act = { action: secretAction("secret.reveal", place), place, event: "secret.reveal", target: [target] };
  return await perform(context, { ...act, class: "data-access" }, async (client, permission) => {
    const project = await holderOf(client, permission);
    const { rows } = await client.query<{ id: string; deleted: boolean }>(
      "select id, deleted_at is not null as deleted from secrets where project_id = $1 and name = $2",
      [project.id, name],
    );
    const [secret] = rows;
    if (secret === undefined)
      throw secretError("ERR_SECRET_UNKNOWN", action, { name, why: "there is none of this name" });
    if (secret.deleted)
      throw secretError("ERR_SECRET_DELETED", action, { name, why: "it is deleted; restore it first" });
    const opened = await openStored(client, context.master, { project, name, version, action });
    // What was sealed was perhaps readable before, with the same value.
    if (opened.policy.sealed || (await wasSealedSince(client, { project, name, opened })))
      throw secretError("ERR_SECRET_SEALED", action, { name, why: "it is sealed, and sealed values are never shown" });
    if (opened.policy.source !== undefined)
      throw secretError("ERR_SECRET_SEALED", action, {
        name,
        why: `its value is kept in ${opened.policy.source.source}`,
      });
    const value = new SecretValue(name, opened.value, opened.policy, opened.version);
    return { result: value, target: [{ ...target, id: secret.id, version: opened.version }] };
  });
}
