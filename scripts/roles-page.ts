/** The text of docs/roles.md: who may do what, as protocol/roles.ts has it. */
import { actions } from "../protocol/roles.ts";

export function rolesPage(generated: string): string {
  const rows = Object.entries(actions).map(
    ([action, { meaning, allowed, scopes }]) =>
      `| \`${action}\` | ${meaning} | ${allowed.join(", ")} | ${scopes.map((scope) => `\`${scope}\``).join(", ") || "none"} |`,
  );
  return `# Roles

${generated}

A person has a role in an organization (owner, admin, member) and may have one in each of its projects (admin, editor,
member, viewer). A builder is a member of a project who can create assets. Owners and admins of the organization have a
part in every project of it; its other members only in those that list them. A [platform key](keys-api.md) has scopes in
the projects that it covers.

The functions of \`vault/\` that take a context with an actor ask this table; a denial says which role or scope would do, and
what somebody has no part in answers like what is not there. Each change and each denial leaves an event in the audit log.
Over HTTP everybody acts as the person or the key that they [show to be](sign-in.md); commands on the database and workers act as the
deployment itself.

| action | what it is | roles | scopes of keys |
| --- | --- | --- | --- |
${rows.join("\n")}
`;
}
