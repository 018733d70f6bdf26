#!/usr/bin/env node
/** The `stepvault` command: finds the command named and gives its exit code. Each command is a file of its own. */
import { auditCommand, auditUsage } from "./audit.ts";
import { demoCommand, demoUsage } from "./demo.ts";
import { doctorCommand, doctorUsage } from "./doctor.ts";
import { keysCommand, keysUsage } from "./keys.ts";
import { leaksCommand, leaksUsage } from "./leaks.ts";
import { packagesCommand, packagesUsage } from "./packages.ts";
import { organizationsCommand, organizationsUsage, projectsCommand, projectsUsage } from "./places.ts";
import { redactCommand, redactUsage } from "./redact.ts";
import { runCommand, runUsage } from "./run.ts";
import { secretsCommand, secretsUsage } from "./secrets.ts";
import { startCommand, startUsage } from "./start.ts";
import { data, exitCodes, note, reportError } from "./terminal.ts";

interface Command {
  readonly summary: string;
  readonly usage: string;
  run(args: string[]): Promise<number>;
}

const commands: ReadonlyMap<string, Command> = new Map([
  ["start", { summary: "database, queue and worker in one process", usage: startUsage, run: startCommand }],
  ["run", { summary: "run one step here, without a service", usage: runUsage, run: runCommand }],
  ["doctor", { summary: "whether steps can run on this machine", usage: doctorUsage, run: doctorCommand }],
  ["packages", { summary: "lock the packages that steps may import", usage: packagesUsage, run: packagesCommand }],
  ["redact", { summary: "replace secrets in whatever passes through a pipe", usage: redactUsage, run: redactCommand }],
  ["organizations", { summary: "make and list organizations", usage: organizationsUsage, run: organizationsCommand }],
  ["projects", { summary: "make and list projects", usage: projectsUsage, run: projectsCommand }],
  ["secrets", { summary: "secrets of a project or an organization", usage: secretsUsage, run: secretsCommand }],
  ["keys", { summary: "platform keys of a project or an organization", usage: keysUsage, run: keysCommand }],
  ["leaks", { summary: "what a leaked text is, and ending it", usage: leaksUsage, run: leaksCommand }],
  ["audit", { summary: "the audit log: read, export its head, verify it", usage: auditUsage, run: auditCommand }],
  ["demo", { summary: "four steps through the whole system, in a minute", usage: demoUsage, run: demoCommand }],
]);

const usage = `Usage: stepvault COMMAND [options]

${[...commands].map(([name, { summary }]) => `  ${name.padEnd(13)} ${summary}`).join("\n")}

stepvault COMMAND --help tells more.`;

async function main([name, ...args]: string[]): Promise<number> {
  const command = commands.get(name ?? "");
  if (command === undefined) {
    const asked = name === undefined || ["help", "--help", "-h"].includes(name);
    if (asked && name !== undefined) data(`${usage}\n`);
    else note(usage);
    return asked && name !== undefined ? exitCodes.success : exitCodes.usage;
  }
  if (args.includes("--help") || args.includes("-h")) {
    data(`${command.usage}\n`);
    return exitCodes.success;
  }
  try {
    return await command.run(args);
  } catch (error) {
    // The message of parseArgs quotes what was typed, which may be a key that slipped in.
    if (error instanceof TypeError && String((error as { code?: unknown }).code).startsWith("ERR_PARSE_ARGS")) {
      note(`Cannot read the options: one of them is not known or lacks its value\n\n${command.usage}`);
      return exitCodes.usage;
    }
    return reportError(error);
  }
}

process.exitCode = await main(process.argv.slice(2));
