/**
 * `npm run docs`: writes the reference pages that are made from tables in protocol/: docs/errors.md,
 * docs/configuration.md, docs/limits.md, docs/credentials.md and docs/roles.md, and docs/openapi.json from the API's routes. test/docs.test.ts fails when a page is not what this makes.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { configRows } from "../protocol/settings.ts";
import { errorCodes } from "../protocol/error.ts";
import { statusOfError } from "../protocol/job.ts";
import { inheritanceModes, type IntegrationClass, integrations } from "../protocol/integrations.ts";
import { type LimitName, limitNames, limitTable, payloadLimits } from "../protocol/limits.ts";
import { secretValueBytesMax } from "../protocol/secret.ts";
import { openApiText } from "../api/openapi.ts";
import { httpStatusOf } from "../protocol/http/statuses.ts";
import { clientsPage } from "./clients-page.ts";
import { rolesPage } from "./roles-page.ts";

const generated = "<!-- Made by `npm run docs`; change the table in protocol/ instead. -->";

/** Each generated page: its path under docs/ and its text. */
export async function generatedPages(): Promise<Map<string, string>> {
  return new Map([
    ["openapi.json", await openApiText()],
    ["errors.md", errorsPage()],
    ["configuration.md", configurationPage()],
    ["limits.md", limitsPage()],
    ["clients.md", clientsPage()],
    ["credentials.md", credentialsPage()],
    ["roles.md", rolesPage(generated)],
  ]);
}

function errorsPage(): string {
  const rows = (Object.keys(errorCodes) as (keyof typeof errorCodes)[]).map((code) => {
    const { fault, meaning, mend } = errorCodes[code];
    const status = statusOfError(code);
    // No run ends with an error of the vault's or the command's own, and then the table of statuses has no entry.
    const ends = status !== "limit_exceeded" || fault === "limit";
    return [`\`${code}\``, fault, ends ? `\`${status}\`` : "", String(httpStatusOf(code)), meaning, mend];
  });
  return `# Error codes

${generated}

Every error that leaves Stepvault has one of these codes, in a run's result, in an \`error\` event and on the terminal.
A code keeps its meaning: programs decide by it, never by the message. \`fault\` says who can mend it: \`user\` is whoever
wrote or submitted the step, \`limit\` is a named limit, \`system\` is whoever runs Stepvault. The status is the one that a
run ends with when it ends with this error; where there is none, only a call or a command can fail with it. \`HTTP\` is what the API answers when a
request fails with it. What the
fields of a credential must be is in [credentials](credentials.md).

${table(["code", "fault", "status of a run", "HTTP", "meaning", "how to mend"], rows)}
`;
}

function configurationPage(): string {
  const rows = configRows().map(({ key, rule, defaultValue, description }) => [
    `\`${key}\``,
    rule,
    defaultValue === "none" ? "none" : `\`${defaultValue}\``,
    description,
  ]);
  return `# Configuration

${generated}

A Stepvault process reads its settings once, at its start, from environment variables. A wrong value and an unknown
\`STEPVAULT_*\` name are both errors; the message lists all of them at once and shows no value. \`stepvault run\` reads the
same variables but uses only the data directory (for its cache), the open addresses and the maxima; \`stepvault demo\`
reads none.

${table(["setting", "rule", "default", "meaning"], rows)}
`;
}

function limitsPage(): string {
  const rows = limitNames.map((name: LimitName) => {
    const { default: byDefault, min, max, meaning } = limitTable[name];
    return [`\`${name}\``, ...[byDefault, min, max].map(figure), meaning];
  });
  const payload = Object.entries(payloadLimits).map(([name, value]) => [`\`${name}\``, figure(value)]);
  return `# Limits

${generated}

A step sets any of these in \`step.limits\`, or with \`stepvault run --limit NAME=NUMBER\`. What it does not set has the
default. A value above the operator's maximum (\`STEPVAULT_MAX_…\`, see [configuration](configuration.md)) rejects the run
with \`ERR_LIMIT_TOO_HIGH\`; a limit that is reached ends the run with an error that names it and gives the figures.

${table(["limit", "default", "lowest", "highest, unless configured", "meaning"], rows)}

These hold for every job, before a step is known, and cannot be changed. A larger part rejects the run with
\`ERR_LIMIT_PAYLOAD\`, more references with \`ERR_REFERENCE_COUNT\`. Bytes are of UTF-8, or of JSON.

${table(["limit", "value"], [...payload, ["bytes of one secret's value", figure(secretValueBytesMax)]])}
`;
}

function credentialsPage(): string {
  const rows = [...integrations.values()].flatMap((entry) => {
    const head = [entry.name, `\`${entry.id}\``];
    if (entry.oauth)
      return [{ class: entry.class, row: [...head, "none: OAuth", "", "Users connect their own account"] }];
    return entry.fields.map((field, index) => {
      const kind = `${field.secret ? "secret" : "shown"}${field.required ? "" : ", optional"}`;
      const row = [...(index === 0 ? head : ["", ""]), `\`${field.name}\` (${kind})`, field.rule, field.help];
      return { class: entry.class, row };
    });
  });
  const head = ["", "id", "field", "what it must be", "where to find it"];
  const tableOf = (wanted: IntegrationClass): string =>
    table(
      head,
      rows.filter((entry) => entry.class === wanted).map(({ row }) => row),
    );
  return `# Credentials

${generated}

A credential is what an integration or a model provider asks for. There is one slot per integration in an organization and
one in each of its projects. Setting a credential switches the integration on with its key; setting it again overwrites
what was there, and nothing of the older value is kept.

## Which one is in force

1. The project's own, if there is one, whatever state it is in. Switched off or not readable it still counts, and then
   there is none: another account is never used without somebody having decided so. Only removing it gives way to the
   organization's.
2. Else the organization's, if the class lets it through. For integrations inheritance is
   \`${inheritanceModes.integration}\`: every project has it. For models it is \`${inheritanceModes.model}\`: a project has it
   once it turned on "Inherit from Organization", for the class or for single providers, whose switch then decides.
3. Else none. A run that needs it fails before any code starts, with an error that says which of these is missing.

An explanation names both candidates and why each was passed over. The rows are compared with what was written,
and no value is opened for it, so whether one can still be opened shows only when it is used.

Switched off, a credential is not usable, and its value stays stored until the credential is removed.

## Who may change them

An organization's: its owners and admins. A project's, with its inheritance: owners and admins of the organization, admins
and editors of the project, and keys with the scope \`manage:secrets\` or \`admin\`. An organization can take this from
editors, and with them from keys without the scope \`admin\`. Whoever may see the project or the organization sees which
credentials it has and the fields that are shown, never a secret one.

Two gates, both off unless the deployment turns them on, stand before an organization's credentials: its plan must be
\`enterprise\` (\`ERR_PLAN_REQUIRED\`), and they must be rolled out to it (\`ERR_ROLLOUT_PENDING\`). They hold when one is
set or switched on and again when it is used. What an organization has it can always switch off and remove.

## How they are stored

The secret fields of a credential are sealed as one document, bound to the level, organization, project, integration,
version, names of the fields and every value that is shown. Whoever changes any of these in the database, or moves a
credential to another place, gets no value but \`ERR_SECRET_TAMPERED\`. Credentials and switches of inheritance are also listed
in the signed [manifest](keys.md#what-is-noticed) of their place: one that is switched, added, removed or put back as it
once was in the database is marked as tampered in lists and not usable, and nothing is inherited in its stead. Setting or
removing it heals it; rows that no manifest lists are never taken over, unless the operator signs the manifest anew.

## Models

${tableOf("model")}

## Integrations

What works by OAuth has no shared credential (\`ERR_OAUTH_NOT_SHAREABLE\`): users connect their own account, or a service
account.

${tableOf("integration")}
`;
}

function figure(value: number): string {
  return value.toLocaleString("en-US");
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(escapeCell).join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

function escapeCell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/<(?=[a-z])/g, "&lt;");
}

if (import.meta.main) {
  for (const [name, text] of await generatedPages()) {
    writeFileSync(fileURLToPath(new URL(`../docs/${name}`, import.meta.url)), text);
  }
}
