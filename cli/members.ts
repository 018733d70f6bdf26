/** `stepvault members`: who is in an organization or a project, as the operator. */
import { type OrganizationRole, organizationRoles, type ProjectRole, projectRoles } from "../protocol/roles.ts";
import type { Handlers } from "./commands.ts";
import { UsageError } from "./given.ts";
import { print, printDone } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

export const membersHandlers: Handlers = {
  async list(given) {
    const place = given.place();
    const members = await withVault(async ({ tenancy }) =>
      "projectId" in place
        ? await tenancy.listProjectMembers(place.projectId)
        : await tenancy.listOrganizationMembers(place.organizationId),
    );
    print<(typeof members)[number]>(members, {
      json: given.json,
      head: ["person", "role", "since", "name"],
      cells: (member) => [
        member.personId,
        "canCreateAssets" in member && member.canCreateAssets ? `${member.role}, can create assets` : member.role,
        member.createdAt.toISOString(),
        member.name,
      ],
    });
  },
  async set(given) {
    const place = given.place();
    const [personId, role, name] = [given.required("PERSON"), given.required("role"), given.text("name")];
    const canCreateAssets = given.has("can-create-assets");
    const roles: readonly string[] = "projectId" in place ? projectRoles : organizationRoles;
    if (!roles.includes(role)) throw new UsageError(`--role is here one of ${roles.join(", ")}`);
    if ("projectId" in place && name !== undefined)
      throw new UsageError("--name is what an organization calls its members");
    if ("organizationId" in place && canCreateAssets)
      throw new UsageError("--can-create-assets is for members of a project");
    await withVault(async ({ tenancy }) => {
      if ("projectId" in place)
        return await tenancy.setProjectMember({ ...place, personId, role: role as ProjectRole, canCreateAssets });
      const before = await tenancy.listOrganizationMembers(place.organizationId);
      const known = name ?? before.find((member) => member.personId === personId)?.name ?? personId;
      await tenancy.setOrganizationMember({ ...place, personId, name: known, role: role as OrganizationRole });
    });
    printDone(given, { ...place, personId, role }, {});
  },
  async remove(given) {
    const member = { ...given.place(), personId: given.required("PERSON") };
    await withVault(async ({ tenancy }) =>
      "projectId" in member
        ? await tenancy.removeProjectMember(member)
        : await tenancy.removeOrganizationMember(member),
    );
    printDone(given, { ...member, removed: true }, {});
  },
};
