/** `stepvault leaks`: what a value, key or file that was found somewhere is, and ending it, as the operator. */
import { text } from "node:stream/consumers";
import { parseArgs } from "node:util";
import { readText } from "./read-file.ts";
import { data, exitCodes, note } from "./terminal.ts";
import { print, required, UsageError, withUsage } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const leaksUsage = `stepvault leaks find --organization ID [--json] < found.txt
stepvault leaks end --organization ID [--replacement FILE] [--json] < found.txt

find  what stands in the text on stdin: secrets and their versions, credentials, platform keys; with places, readers and uses
end   revokes keys with their embed keys, switches credentials and secrets off; with --replacement secrets get the value in FILE

Exit code 0 when nothing of the organization's is in it, 1 when something is.`;

export async function leaksCommand(args: string[]): Promise<number> {
  return await withUsage(leaksUsage, async () => {
    const { values, positionals } = parseArgs({
      args,
      options: {
        organization: { type: "string" },
        replacement: { type: "string" },
        json: { type: "boolean", default: false },
      },
      allowPositionals: true,
    });
    const [action, ...rest] = positionals;
    if ((action !== "find" && action !== "end") || rest.length > 0) throw new UsageError("Say find or end");
    const organizationId = required(values.organization, "--organization ID");
    const { replacement: file } = values;
    const replacement = file === undefined ? undefined : readText(file, "replacement").replace(/\r?\n$/, "");
    const request = { organizationId, text: await text(process.stdin) };
    return await withVault(async (vault) => {
      const { leak, ended } =
        action === "find"
          ? { leak: await vault.leaks.find(request), ended: [] }
          : await vault.leaks.end({ ...request, replacement });
      const found = [
        ...leak.secrets.map(({ name, version, inForce, place, uses }) => ({
          what: `secret ${name} v${version}`,
          inForce,
          place,
          more: `${uses.length} ways of use`,
        })),
        ...leak.credentials.map(({ integration, version, inForce, place }) => ({
          what: `credential ${integration} v${version}`,
          inForce,
          place,
          more: "",
        })),
        ...leak.keys.map(({ kind, hint, inForce, place, children, createdBy }) => ({
          what: `${kind} ${hint}`,
          inForce,
          place,
          more: `made by ${createdBy.kind} ${createdBy.id}, ${children} embed keys`,
        })),
      ];
      if (values.json) data(`${JSON.stringify({ leak, ended })}\n`);
      else
        print(found, {
          json: false,
          head: ["found", "in force", "place", ""],
          cells: ({ what, inForce, place, more }) => [
            what,
            inForce ? "yes" : "no",
            "projectId" in place ? `project ${place.projectId}` : `organization ${place.organizationId}`,
            more,
          ],
        });
      for (const { type, id, done, error } of ended) note(`${type} ${id}: ${error ?? done}`);
      if (leak.unknownVersions > 0)
        note(`${leak.unknownVersions} stored version(s) have no fingerprint and were not compared`);
      return found.length === 0 ? exitCodes.success : exitCodes.user;
    });
  });
}
