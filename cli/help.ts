/** Help of the whole command, of a command and of an action, made from the table. Loads nothing of what commands do. */
import { type Given, UsageError } from "./given.ts";
import { commandTable, findAction, findCommand } from "./table/table.ts";
import { type ActionEntry, type CommandEntry, type OptionEntry, optionsOf, synopsisOf } from "./table/types.ts";
import { data } from "./terminal.ts";

const columnMax = 30;

export async function helpCommand({ operands: [name, actionName] }: Given): Promise<void> {
  if (name === undefined) return data(overview());
  const command = findCommand(name);
  if (command === undefined) throw new UsageError("there is no such command");
  if (actionName === undefined) return data(helpOfCommand(command));
  const action = findAction(command, actionName);
  if (action === undefined)
    throw new UsageError(`${command.name} does one of ${command.actions.map((entry) => entry.name).join(", ")}`);
  data(helpOfAction(command, action));
}

export function overview(): string {
  const commands = commandTable.map(({ name, summary }) => row(name, summary, 16));
  return `Usage: stepvault COMMAND [options]

${commands.join("\n")}

stepvault help COMMAND tells more; stepvault --version the version.

Examples:
  stepvault start
  stepvault run step.py --param city=Bern --secrets .env
  stepvault help secrets set
`;
}

export function helpOfCommand(command: CommandEntry): string {
  const [only] = command.actions;
  if (only?.name === "") return helpOfAction(command, only);
  const actions = command.actions.map(({ name, summary }) => row(name, summary, 16));
  const more = command.more === undefined ? "" : `\n${command.more}\n`;
  return `Usage: stepvault ${command.name} ACTION [options]

${capital(command.summary)}.
${more}
${actions.join("\n")}

stepvault help ${command.name} ACTION tells more.

Examples:
${command.actions.flatMap(({ examples }) => examples.slice(0, 1).map((example) => `  ${example}`)).join("\n")}
`;
}

export function helpOfAction(command: CommandEntry, action: ActionEntry): string {
  const operands = (action.operands ?? []).map(({ name, help, values }) => row(name, help + choices(values)));
  const options = optionsOf(action).map((option) => row(usageOf(option), helpOf(option)));
  return `Usage: ${synopsisOf(command, action)}

${action.summary}.
${action.more === undefined ? "" : `${action.more}\n`}
${[...operands, ...options].join("\n")}

Examples:
${action.examples.map((example) => `  ${example}`).join("\n")}
`;
}

function usageOf({ name, value, short }: OptionEntry): string {
  return `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`;
}

function helpOf({ help, values, between, many, required }: OptionEntry): string {
  const range = between === undefined ? "" : `; ${between[0]} to ${between[1]}`;
  const notes = [...(required === true ? ["required"] : []), ...(many === true ? ["repeatable"] : [])];
  return `${help}${choices(values)}${range}${notes.length === 0 ? "" : ` (${notes.join(", ")})`}`;
}

function choices(values: OptionEntry["values"]): string {
  return Array.isArray(values) ? `: ${values.join(", ")}` : "";
}

function row(left: string, right: string, width: number = columnMax): string {
  const text = `  ${left.padEnd(width - 2)}`;
  return left.length > width - 4 ? `  ${left}\n${" ".repeat(width)}${right}` : `${text}${right}`;
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
