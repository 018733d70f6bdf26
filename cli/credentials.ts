/**
 * `stepvault credentials`: credentials of integrations and model providers, as the operator. A secret field comes from stdin,
 * the prompt or a file, and is refused as an argument; no command shows one.
 */
import { findIntegration, type Integration, type IntegrationClass, integrations } from "../protocol/integrations.ts";
import type { Plan } from "../vault/credentials/gates.ts";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { readJson } from "./read-file.ts";
import { exitCodes } from "./terminal.ts";
import { pairsOf, print, printDone, printOne, readValue } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const credentialsHandlers: Handlers = {
  async integrations({ json }) {
    print([...integrations.values()], {
      json,
      head: ["id", "class", "fields", "name"],
      cells: ({ id, class: ofClass, fields, oauth, name }) => [
        id,
        ofClass,
        oauth
          ? "each user connects their own"
          : fields.map((field) => `${field.name}${field.secret ? " (secret)" : ""}`).join(", "),
        name,
      ],
    });
  },
  async list(given) {
    const credentials = await withVault(async (vault) => await vault.credentials.list(given.place()));
    print<(typeof credentials)[number]>(credentials, {
      json: given.json,
      head: ["integration", "version", "state", "fields"],
      cells: ({ integration, version, disabled, tampered, fields }) => [
        integration,
        String(version),
        tampered ? "tampered" : disabled ? "off" : "on",
        fields.map(({ name, value }) => (value === undefined ? name : `${name}=${value}`)).join(" "),
      ],
    });
  },
  async set(given) {
    const request = requestOf(given);
    const fields = await fieldsOf(given, findIntegration(request.integration));
    const version = await withVault(async (vault) => await vault.credentials.set({ ...request, fields }));
    const { integration } = request;
    printDone(given, { integration, version }, { note: `${integration} is at version ${version}` });
  },
  enable: async (given) => await switched(given, true),
  disable: async (given) => await switched(given, false),
  async remove(given) {
    await withVault(async (vault) => await vault.credentials.remove(requestOf(given)));
    printDone(given, { integration: given.required("INTEGRATION"), removed: true }, {});
  },
  async explain(given) {
    const request = { projectId: given.required("project"), integration: given.required("INTEGRATION") };
    const { winner, candidates } = await withVault(async (vault) => await vault.credentials.explain(request));
    print(candidates, {
      json: given.json,
      head: ["level", "version", "state", "why"],
      cells: ({ level, version, state, why }) => [level, String(version ?? ""), state, why],
    });
    return winner === undefined ? exitCodes.user : exitCodes.success;
  },
  async inherit(given) {
    const projectId = given.required("project");
    const [ofClass, use, integration] = [given.text("class"), given.text("use"), given.text("integration")];
    if ((ofClass === undefined) !== (use === undefined) || (integration !== undefined && use === undefined))
      throw new UsageError("to switch, say which and how: --class CLASS --use on, off or class");
    const switches = await withVault(async (vault) => {
      if (ofClass !== undefined) {
        const inherits = use === "class" ? undefined : use === "on";
        await vault.credentials.switchInheritance({
          projectId,
          class: ofClass as IntegrationClass,
          integration,
          inherits,
        });
      }
      return await vault.credentials.listInheritance(projectId);
    });
    print<(typeof switches)[number]>(switches, {
      json: given.json,
      head: ["class", "integration", "uses its organization's"],
      cells: ({ class: of, integration: id, inherits, tampered }) => [
        of,
        id === "" ? "all" : id,
        tampered ? "tampered" : inherits ? "yes" : "no",
      ],
    });
  },
  async standing(given) {
    const organizationId = given.required("organization");
    const [plan, rollout, editors] = [
      given.text("plan") as Plan | undefined,
      given.text("rollout"),
      given.text("editors"),
    ];
    const standing = {
      ...(plan !== undefined && { plan }),
      ...(rollout !== undefined && { rolledOut: rollout === "on" }),
    };
    const settings = await withVault(async ({ credentials }) => {
      if (Object.keys(standing).length > 0) await credentials.setStanding({ organizationId, ...standing });
      if (editors !== undefined) await credentials.setEditorsManage({ organizationId, allowed: editors === "on" });
      return await credentials.settings(organizationId);
    });
    printOne(settings, given);
  },
};

function requestOf(given: Given): { place: ReturnType<Given["place"]>; integration: string } {
  return { place: given.place(), integration: given.required("INTEGRATION") };
}

async function switched(given: Given, enabled: boolean): Promise<void> {
  await withVault(async (vault) => await vault.credentials.switch({ ...requestOf(given), enabled }));
  printDone(given, { integration: given.required("INTEGRATION"), enabled }, {});
}

/** Whether they fit is for the vault to say. */
async function fieldsOf(given: Given, { name, fields }: Integration): Promise<Record<string, string>> {
  const clear = pairsOf(given, "field");
  const secret = fields.filter((field) => field.secret);
  if (Object.keys(clear).some((field) => secret.some((entry) => entry.name === field)))
    throw new UsageError(
      "--field is for what is no secret: a secret field comes from stdin, the prompt or --fields-file",
    );
  const file = given.text("fields-file");
  if (file !== undefined) {
    const read = readJson(file, "file of fields");
    if (typeof read === "object" && read !== null && !Array.isArray(read))
      return { ...(read as Record<string, string>), ...clear };
    throw new UsageError("--fields-file is a file with a JSON object");
  }
  const needed = secret.filter(({ required }) => required);
  if (needed.length > 1 && !process.stdin.isTTY)
    throw new UsageError(`${name} has ${needed.length} secret fields: give them with --fields-file`);
  const values: Record<string, string> = { ...clear };
  for (const field of needed) values[field.name] = await readValue(`${field.name} of ${name}`);
  return values;
}
