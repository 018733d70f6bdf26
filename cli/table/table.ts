/** The one table of commands: what there is, how it is called, what it takes. Parsing, help, completion and tests read it. */
import { keyCommands } from "./keys.ts";
import { localCommands } from "./local.ts";
import { mcpCommandEntry } from "./mcp.ts";
import { placeCommands } from "./places.ts";
import { runCommands } from "./runs.ts";
import { secretCommands } from "./secrets.ts";
import { servingCommands } from "./serving.ts";
import type { ActionEntry, CommandEntry } from "./types.ts";

export const commandTable: readonly CommandEntry[] = [
  ...servingCommands,
  mcpCommandEntry,
  ...runCommands,
  ...placeCommands,
  ...secretCommands,
  ...keyCommands,
  ...localCommands,
];

export function findCommand(name: string): CommandEntry | undefined {
  return commandTable.find((command) => command.name === name);
}

export function findAction(command: CommandEntry, name: string): ActionEntry | undefined {
  return command.actions.find((action) => action.name === name);
}

/** Of a command that does one thing only: its words are operands. */
export function onlyAction({ actions }: CommandEntry): ActionEntry | undefined {
  return actions[0]?.name === "" ? actions[0] : undefined;
}
