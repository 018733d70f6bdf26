/**
 * What an action was given: words and options, read by its entry in the table and checked before anything is done. What was
 * typed is never repeated in an error, as it may be a key that slipped in. Loads nothing of what commands do.
 */
import { parseArgs, type ParseArgsOptionsConfig } from "node:util";
import { StepvaultError } from "../protocol/error.ts";
import { closestName } from "../vault/secrets/closest-name.ts";
import { type ActionEntry, type OperandEntry, type OptionEntry, optionsOf } from "./table/types.ts";

/** Told with how the action is called. */
export class UsageError extends StepvaultError {
  /** How to ask for more. */
  readonly usage: string;

  constructor(why: string, usage: string = "stepvault help") {
    super("ERR_USAGE", `Cannot read the command: ${why}`);
    this.usage = usage;
  }
}

export class Given {
  readonly operands: readonly string[];
  readonly json: boolean;
  #action: ActionEntry;
  #values: Readonly<Record<string, unknown>>;

  constructor(action: ActionEntry, operands: readonly string[], values: Readonly<Record<string, unknown>>) {
    this.#action = action;
    this.operands = operands;
    this.#values = values;
    this.json = values["json"] === true;
  }

  text(name: string): string | undefined {
    return this.#values[this.#known(name)] as string | undefined;
  }

  texts(name: string): readonly string[] {
    return (this.#values[this.#known(name)] ?? []) as readonly string[];
  }

  has(name: string): boolean {
    return this.#values[this.#known(name)] !== undefined;
  }

  number(name: string): number | undefined {
    const text = this.text(name);
    return text === undefined ? undefined : Number(text);
  }

  /** Where it acts, for an action that has a place. */
  place(): { projectId: string } | { organizationId: string } {
    const { project, organization } = this.#values as Record<string, string | undefined>;
    return project === undefined ? { organizationId: organization! } : { projectId: project };
  }

  /** An option or operand that the table says must be there. Throws UsageError. */
  required(name: string): string {
    const place = (this.#action.operands ?? []).findIndex((operand) => operand.name === name);
    const text = place < 0 ? this.text(name) : this.operands[place];
    if (text === undefined) throw new UsageError(`${place < 0 ? `--${name}` : name} is missing`);
    return text;
  }

  /** Also what is not in the table would be undefined, and never given. */
  #known(name: string): string {
    if (optionsOf(this.#action).some((option) => option.name === name)) return name;
    throw new Error(`the table of commands has no option ${name} here`);
  }
}

/** Throws UsageError. */
export function readGiven(action: ActionEntry, args: readonly string[]): Given {
  const options = optionsOf(action);
  const { values, positionals } = parse(options, args);
  for (const option of options) checkOption(option, values[option.name]);
  if (action.place === "either" && (values["project"] === undefined) === (values["organization"] === undefined))
    throw new UsageError("say where: --project ID or --organization ID, and one of them");
  checkOperands(action.operands ?? [], positionals);
  return new Given(action, positionals, values);
}

function parse(options: readonly OptionEntry[], args: readonly string[]): { values: Values; positionals: string[] } {
  const config: ParseArgsOptionsConfig = {};
  for (const { name, value, many, short } of options) {
    config[name] = {
      type: value === undefined ? "boolean" : "string",
      ...(many === true && { multiple: true }),
      ...(short !== undefined && { short }),
    };
  }
  try {
    return parseArgs({ args: [...args], options: config, allowPositionals: true });
  } catch {
    // The parser's own message quotes what was typed.
    throw new UsageError(faultOf(options, args));
  }
}

type Values = Readonly<Record<string, unknown>>;

/** The first thing that is wrong with the options, told by names of the table alone. */
function faultOf(options: readonly OptionEntry[], args: readonly string[]): string {
  const names = options.map(({ name }) => name);
  for (const [index, text] of args.entries()) {
    if (text === "--") break;
    if (!text.startsWith("--")) continue;
    const name = text.slice(2).split("=", 1)[0]!;
    const option = options.find((entry) => entry.name === name);
    if (option === undefined) {
      const closest = closestName(name, names);
      return `argument ${index + 1} is an option that it does not have${closest === undefined ? "" : `; did you mean --${closest}?`}`;
    }
    const next = args[index + 1];
    if (option.value !== undefined && !text.includes("=") && (next === undefined || next.startsWith("-")))
      return `--${name} lacks its ${option.value}`;
    if (option.value === undefined && text.includes("=")) return `--${name} takes no value`;
  }
  return "one of its options is not known or lacks its value";
}

function checkOption({ name, value, required, values, between }: OptionEntry, given: unknown): void {
  if (given === undefined) {
    if (required === true) throw new UsageError(`--${name} ${value} is missing`);
    return;
  }
  for (const text of [given].flat() as string[]) {
    if (Array.isArray(values) && !values.includes(text))
      throw new UsageError(`--${name} is one of ${values.join(", ")}`);
    if (between === undefined) continue;
    const fits = /^\d{1,16}$/.test(text) && Number(text) >= between[0] && Number(text) <= between[1];
    if (!fits) throw new UsageError(`--${name} must be a whole number from ${between[0]} to ${between[1]}`);
  }
}

function checkOperands(entries: readonly OperandEntry[], given: readonly string[]): void {
  const missing = entries.find(({ optional }, index) => optional !== true && given[index] === undefined);
  if (missing !== undefined) throw new UsageError(`${missing.name} is missing`);
  const many = entries.at(-1)?.many === true;
  if (!many && given.length > entries.length)
    throw new UsageError(`${given.length} words are too many: ${entries.length} at most`);
  for (const [index, { name, values }] of entries.entries()) {
    const text = given[index];
    if (text !== undefined && Array.isArray(values) && !values.includes(text))
      throw new UsageError(`${name} is one of ${values.join(", ")}`);
  }
}
