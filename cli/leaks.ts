/** `stepvault leaks`: what a value, key or file that was found somewhere is, and ending it, as the operator. */
import { text } from "node:stream/consumers";
import type { Handlers } from "./commands.ts";
import type { Given } from "./given.ts";
import { readText } from "./read-file.ts";
import { dataJson, exitCodes, note } from "./terminal.ts";
import { print } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const leaksHandlers: Handlers = {
  find: async (given) => await leaks(given, "find"),
  end: async (given) => await leaks(given, "end"),
};

async function leaks(given: Given, action: "find" | "end"): Promise<number> {
  const organizationId = given.required("organization");
  const file = action === "end" ? given.text("replacement") : undefined;
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
    if (given.json) dataJson({ leak, ended });
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
}
