/**
 * `stepvault keys`: platform keys of a project or an organization, as the operator. A key itself is printed once, alone on
 * stdout, by what makes it.
 */
import { parseArgs } from "node:util";
import { type KeyScope, keyScopes } from "../protocol/roles.ts";
import type { KeyExpiry } from "../vault/platform-keys/key-policies.ts";
import type { IssuedKey, KeyMetadata } from "../vault/platform-keys/keys.ts";
import type { Place } from "../vault/tenancy/authorize.ts";
import type { Vault } from "../vault/vault.ts";
import { data, exitCodes, note } from "./terminal.ts";
import { day, numberOf, placeOf, placeOptions, print, required, UsageError, withUsage } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const keysUsage = `stepvault keys create --project ID | --organization ID --name NAME --scope SCOPE [options]
stepvault keys list --project ID | --organization ID [--json]
stepvault keys rotate KEY_ID --project ID | --organization ID [--grace-days N] [--expires-days N]
stepvault keys revoke | delete KEY_ID --project ID | --organization ID

create  --scope trigger|read:runs|manage:secrets|admin, as often as needed; --expires-days 7 to 90, or it has no expiry;
        of an organization: --access all|ID,ID
rotate  makes a successor; the old key ends after the overlap (--grace-days, 7), or sooner where it would have
revoke  the key stops at once and stays in the list; delete takes it out

create and rotate print the key once on stdout; it can never be shown again.`;

interface Call {
  readonly vault: Vault;
  readonly place: Place;
  readonly keyId: string | undefined;
  readonly values: ReturnType<typeof read>["values"];
}

const actions: Readonly<Record<string, (call: Call) => Promise<void>>> = {
  async create({ vault, place, values }) {
    const name = required(values.name, "--name");
    const wanted = { name, scopes: scopesOf(values.scope), expiry: expiryOf(values["expires-days"]) };
    if ("projectId" in place) return show(await vault.keys.createForProject({ ...wanted, ...place }));
    const access = required(values.access, "--access all, or the ids of projects");
    show(
      await vault.keys.createForOrganization({
        ...wanted,
        ...place,
        access: access === "all" ? access : access.split(","),
      }),
    );
  },
  async list({ vault, place, values }) {
    const keys =
      "projectId" in place ? await vault.keys.listOfProject(place) : await vault.keys.listOfOrganization(place);
    print<KeyMetadata>(keys, {
      json: values.json,
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
  async rotate({ vault, place, keyId, values }) {
    const graceDays = numberOf(values["grace-days"], "--grace-days") ?? 7;
    const expiry = expiryOf(values["expires-days"]);
    show(await vault.keys.rotate({ place, keyId: required(keyId, "KEY_ID"), graceDays, expiry }));
  },
  async revoke({ vault, place, keyId }) {
    await vault.keys.revoke({ place, keyId: required(keyId, "KEY_ID") });
  },
  async delete({ vault, place, keyId }) {
    await vault.keys.delete({ place, keyId: required(keyId, "KEY_ID") });
  },
};

export async function keysCommand(args: string[]): Promise<number> {
  return await withUsage(keysUsage, async () => {
    const { values, positionals } = read(args);
    const [name = "", keyId, ...rest] = positionals;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined || rest.length > 0) throw new UsageError("Say what to do, with one key at most");
    const place = placeOf(values);
    await withVault(async (vault) => await action({ vault, place, keyId, values }));
    return exitCodes.success;
  });
}

// The return type is what parseArgs makes of the options.
// oxlint-disable-next-line typescript/explicit-function-return-type
function read(args: string[]) {
  return parseArgs({
    args,
    options: {
      ...placeOptions,
      name: { type: "string" },
      scope: { type: "string", multiple: true },
      access: { type: "string" },
      "expires-days": { type: "string" },
      "grace-days": { type: "string" },
      json: { type: "boolean", default: false },
    },
    allowPositionals: true,
  });
}

function show({ key, metadata }: IssuedKey): void {
  note(`${metadata.name}, ${metadata.id}, expires: ${day(metadata.expiresAt)}; it is shown this once`);
  data(`${key}\n`);
}

function scopesOf(given: readonly string[] = []): KeyScope[] {
  const wrong = given.filter((scope) => !(keyScopes as readonly string[]).includes(scope));
  if (given.length > 0 && wrong.length === 0) return given as KeyScope[];
  throw new UsageError(`Say what for: --scope, one or more of ${keyScopes.join(", ")}`);
}

function expiryOf(days: string | undefined): KeyExpiry {
  const number = numberOf(days, "--expires-days");
  return number === undefined ? "none" : { days: number };
}
