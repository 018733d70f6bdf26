/**
 * `stepvault keys`: platform keys of a project or an organization, as the operator. A key itself is printed once, alone on
 * stdout, by what makes it; with --json it is in the object.
 */
import type { KeyScope } from "../protocol/roles.ts";
import type { KeyExpiry } from "../vault/platform-keys/key-policies.ts";
import type { IssuedKey, KeyMetadata } from "../vault/platform-keys/keys.ts";
import type { Place } from "../vault/tenancy/authorize.ts";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { data, dataJson, note } from "./terminal.ts";
import { accessOf, day, print, printDone, printOne } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const keysHandlers: Handlers = {
  async create(given) {
    const place = given.place();
    const wanted = { name: given.required("name"), scopes: scopesOf(given), expiry: expiryOf(given) };
    const access = accessOf(given.text("access"));
    if ("organizationId" in place && access === undefined)
      throw new UsageError("--access is missing: all, or the ids of projects");
    const issued = await withVault(async (vault) =>
      "projectId" in place
        ? await vault.keys.createForProject({ ...wanted, ...place })
        : await vault.keys.createForOrganization({ ...wanted, ...place, access: access! }),
    );
    show(issued, given);
  },
  async list(given) {
    const place = given.place();
    const keys = await withVault(async (vault) =>
      "projectId" in place ? await vault.keys.listOfProject(place) : await vault.keys.listOfOrganization(place),
    );
    print<KeyMetadata>(keys, {
      json: given.json,
      head: ["id", "name", "scopes", "access", "state", "expires", "last used", "hint"],
      cells: (key) => [
        key.id,
        key.name,
        key.scopes.join(" "),
        key.inherited ? `${key.access}, inherited` : key.access,
        key.state,
        day(key.expiresAt),
        day(key.lastUsedAt),
        key.hint,
      ],
    });
  },
  async rotate(given) {
    const wanted = { ...keyOf(given), graceDays: given.number("grace-days") ?? 7, expiry: expiryOf(given) };
    show(await withVault(async (vault) => await vault.keys.rotate(wanted)), given);
  },
  async change(given) {
    const [name, access] = [given.text("name"), accessOf(given.text("access"))];
    const change = {
      ...(name !== undefined && { name }),
      ...(given.has("scope") && { scopes: scopesOf(given) }),
      ...(access !== undefined && { access }),
    };
    if (Object.keys(change).length === 0) throw new UsageError("say what to change: --name, --scope or --access");
    const key = await withVault(async (vault) => await vault.keys.change({ ...keyOf(given), ...change }));
    printDone(given, key, { note: `${key.name} may: ${key.scopes.join(" ")}` });
  },
  async revoke(given) {
    await withVault(async (vault) => await vault.keys.revoke(keyOf(given)));
    printDone(given, { id: given.required("KEY_ID"), revoked: true }, {});
  },
  async delete(given) {
    await withVault(async (vault) => await vault.keys.delete(keyOf(given)));
    printDone(given, { id: given.required("KEY_ID"), deleted: true }, {});
  },
  async policy(given) {
    const organizationId = given.required("organization");
    const [expiry, cap] = [given.text("expiry"), given.number("expires-days-max")];
    await withVault(async (vault) => {
      const before = await vault.keys.policy(organizationId);
      const changed = {
        expiryRequired: expiry === undefined ? before.expiryRequired : expiry === "required",
        expiryDaysMax: expiry === "optional" ? null : (cap ?? before.expiryDaysMax),
      };
      if (expiry !== undefined || cap !== undefined) await vault.keys.setPolicy({ organizationId, ...changed });
      printOne(await vault.keys.policy(organizationId), given);
    });
  },
};

function keyOf(given: Given): { place: Place; keyId: string } {
  return { place: given.place(), keyId: given.required("KEY_ID") };
}

function show({ key, metadata }: IssuedKey, given: Given): void {
  const place = given.place();
  const where = "projectId" in place ? `--project ${place.projectId}` : `--organization ${place.organizationId}`;
  const lost = `nobody has the new key ${metadata.id}: stepvault keys revoke ${metadata.id} ${where}`;
  if (given.json) return dataJson({ key, ...metadata }, 0, lost);
  note(`${metadata.name}, ${metadata.id}, expires: ${day(metadata.expiresAt)}; it is shown this once`);
  data(`${key}\n`, lost);
}

/** The table has checked them. */
function scopesOf(given: Given): KeyScope[] {
  return given.texts("scope") as KeyScope[];
}

function expiryOf(given: Given): KeyExpiry {
  const days = given.number("expires-days");
  return days === undefined ? "none" : { days };
}
