#!/usr/bin/env node
/**
 * The `stepvault` command: finds the action named in the table, reads what it was given, does it and gives its exit code.
 * What an action does is in a file of its own, loaded when it is called.
 */
import { closestName } from "../vault/secrets/closest-name.ts";
import { refuseSecrets } from "./argument-secrets.ts";
import { loaders } from "./commands.ts";
import { readGiven, UsageError } from "./given.ts";
import { helpOfAction, helpOfCommand, overview } from "./help.ts";
import { Interrupted } from "./interruption.ts";
import { commandTable, findAction, findCommand, onlyAction } from "./table/table.ts";
import { type ActionEntry, type CommandEntry, synopsisOf } from "./table/types.ts";
import { data, exitCodes, note, reportError, reportUnwritten, reportUsage } from "./terminal.ts";
import { version } from "./version.ts";

const helpWords = new Set(["--help", "-h"]);

async function main(args: readonly string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", (error) => reportUnwritten(error));
  try {
    refuseSecrets(args);
    const [name, ...rest] = args;
    if (name === "--version" || name === "-V") data(`${version()}\n`);
    else if (name === undefined) note(overview());
    else if (helpWords.has(name)) data(overview());
    else return await call(commandNamed(name), rest);
    return name === undefined ? exitCodes.usage : exitCodes.success;
  } catch (error) {
    if (error instanceof Interrupted) return error.exitCode;
    if (error instanceof UsageError) return reportUsage(error, error.usage);
    return reportError(error);
  }
}

async function call(command: CommandEntry, args: readonly string[]): Promise<number> {
  const only = onlyAction(command);
  const wantsHelp = args.some((text) => helpWords.has(text));
  if (only === undefined && (args[0] === undefined || helpWords.has(args[0]))) {
    if (wantsHelp) data(helpOfCommand(command));
    else note(helpOfCommand(command));
    return wantsHelp ? exitCodes.success : exitCodes.usage;
  }
  const action = only ?? actionNamed(command, args[0]!);
  if (wantsHelp) {
    data(helpOfAction(command, action));
    return exitCodes.success;
  }
  try {
    const given = readGiven(action, only === undefined ? args.slice(1) : args);
    const handlers = await loaders[command.name]!();
    return (await handlers[action.name]!(given)) ?? exitCodes.success;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    const more = `stepvault help ${command.name} ${action.name}`.trim();
    return reportUsage(error, `${synopsisOf(command, action)}; ${more}`);
  }
}

function commandNamed(name: string): CommandEntry {
  const command = findCommand(name);
  if (command !== undefined) return command;
  throw new UsageError(
    `there is no such command${meant(
      name,
      commandTable.map((entry) => entry.name),
    )}`,
  );
}

function actionNamed(command: CommandEntry, name: string): ActionEntry {
  const action = findAction(command, name);
  if (action !== undefined) return action;
  const names = command.actions.map((entry) => entry.name);
  throw new UsageError(
    `${command.name} does one of ${names.join(", ")}${meant(name, names)}`,
    `stepvault help ${command.name}`,
  );
}

/** Only names of the table are shown. */
function meant(typed: string, names: readonly string[]): string {
  const closest = closestName(typed, names);
  return closest === undefined ? "" : `; did you mean ${closest}?`;
}

const exitCode = await main(process.argv.slice(2));
// Of output that could not be written there is one.
process.exitCode ??= exitCode;
