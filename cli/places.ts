/** `stepvault organizations` and `stepvault projects`: makes and lists them, as the operator. */
import { parseArgs } from "node:util";
import { data, exitCodes } from "./terminal.ts";
import { print, required, UsageError, withUsage } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const organizationsUsage = `stepvault organizations create NAME
stepvault organizations list [--json]

Prints the id of what was created. Ids decide everywhere; names are for people and may repeat.`;

export const projectsUsage = `stepvault projects create NAME --organization ID
stepvault projects list --organization ID [--json]

Prints the id of what was created. Ids decide everywhere; names are for people and may repeat.`;

const cells = ({ id, name, createdAt }: { id: string; name: string; createdAt: Date }): string[] => [
  id,
  createdAt.toISOString(),
  name,
];
const head = ["id", "created", "name"];

export async function organizationsCommand(args: string[]): Promise<number> {
  return await withUsage(organizationsUsage, async () => {
    const { action, name, json } = read(args);
    await withVault(async (vault) => {
      if (action === "list") print(await vault.tenancy.listOrganizations(), { json, head, cells });
      else data(`${(await vault.tenancy.createOrganization(required(name, "NAME"))).id}\n`);
    });
    return exitCodes.success;
  });
}

export async function projectsCommand(args: string[]): Promise<number> {
  return await withUsage(projectsUsage, async () => {
    const { action, name, json, organization } = read(args);
    const organizationId = required(organization, "--organization ID");
    await withVault(async (vault) => {
      if (action === "list") print(await vault.tenancy.listProjects(organizationId), { json, head, cells });
      else data(`${(await vault.tenancy.createProject({ organizationId, name: required(name, "NAME") })).id}\n`);
    });
    return exitCodes.success;
  });
}

function read(args: string[]): {
  action: "create" | "list";
  name: string | undefined;
  json: boolean;
  organization: string | undefined;
} {
  const { values, positionals } = parseArgs({
    args,
    options: { organization: { type: "string" }, json: { type: "boolean", default: false } },
    allowPositionals: true,
  });
  const [action, name, ...rest] = positionals;
  const fits = action === "create" ? name !== undefined : action === "list" && name === undefined;
  if (!fits || rest.length > 0) throw new UsageError("Say create NAME or list");
  return { action: action as "create" | "list", name, json: values.json, organization: values.organization };
}
