/** What can stand where on the command line, from the table, in a form that a shell's script can look up. Data only. */
import { commandTable } from "../table/table.ts";
import { type ActionEntry, type CommandEntry, type OptionEntry, optionsOf } from "../table/types.ts";

/** One action, under the words that lead to it: `secrets set`, or `run`. */
export interface Place {
  readonly path: string;
  readonly command: CommandEntry;
  readonly action: ActionEntry;
  readonly options: readonly OptionEntry[];
  /** What its first word that is no option may be. */
  readonly operands: OptionEntry["values"];
}

export const commandNames = commandTable.map(({ name }) => name);

/** The names of a command's actions; none for one that does one thing. */
export function actionNames({ name, actions }: CommandEntry): readonly string[] {
  if (name === "help") return commandNames;
  return actions.map((action) => action.name).filter((action) => action !== "");
}

export const places: readonly Place[] = commandTable.flatMap((command) =>
  command.actions.map((action) => ({
    path: `${command.name} ${action.name}`.trim(),
    command,
    action,
    options: optionsOf(action),
    operands: action.operands?.[0]?.values,
  })),
);

/** The options as words, with their letters. */
export function optionWords({ options }: Place): string[] {
  return options.flatMap(({ name, short }) => [`--${name}`, ...(short === undefined ? [] : [`-${short}`])]);
}
