/**
 * `npm run docs`: writes the reference pages that are made from tables in protocol/: docs/errors.md,
 * docs/configuration.md and docs/limits.md. test/docs.test.ts fails when a page is not what this makes.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { configRows } from "../protocol/config.ts";
import { errorCodes } from "../protocol/error.ts";
import { statusOfError } from "../protocol/job.ts";
import { type LimitName, limitNames, limitTable, payloadLimits } from "../protocol/limits.ts";
import { secretValueBytesMax } from "../protocol/secret.ts";
import { clientsPage } from "./clients-page.ts";

const generated = "<!-- Made by `npm run docs`; change the table in protocol/ instead. -->";

/** Each generated page: its path under docs/ and its text. */
export function generatedPages(): Map<string, string> {
  return new Map([
    ["errors.md", errorsPage()],
    ["configuration.md", configurationPage()],
    ["limits.md", limitsPage()],
    ["clients.md", clientsPage()],
  ]);
}

function errorsPage(): string {
  const rows = (Object.keys(errorCodes) as (keyof typeof errorCodes)[]).map((code) => {
    const { fault, meaning, mend } = errorCodes[code];
    const status = statusOfError(code);
    // No run ends with an error of the vault's or the command's own, and then the table of statuses has no entry.
    const ends = status !== "limit_exceeded" || fault === "limit";
    return [`\`${code}\``, fault, ends ? `\`${status}\`` : "", meaning, mend];
  });
  return `# Error codes

${generated}

Every error that leaves Stepvault has one of these codes, in a run's result, in an \`error\` event and on the terminal.
A code keeps its meaning: programs decide by it, never by the message. \`fault\` says who can mend it: \`user\` is whoever
wrote or submitted the step, \`limit\` is a named limit, \`system\` is whoever runs Stepvault. The status is the one that a
run ends with when it ends with this error; where there is none, only a call or a command can fail with it.

${table(["code", "fault", "status of a run", "meaning", "how to mend"], rows)}
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
  for (const [name, text] of generatedPages()) {
    writeFileSync(fileURLToPath(new URL(`../docs/${name}`, import.meta.url)), text);
  }
}
