/**
 * What the table of commands is made of. Parsing, help and completion all read the same entries, so that none of them knows
 * an option that the others do not. Data only: reading the table loads nothing of what the commands do.
 */

export interface OptionEntry {
  readonly name: string;
  /** What stands for its value in help; without one it is a switch. */
  readonly value?: string;
  readonly help: string;
  readonly many?: true;
  readonly required?: true;
  /** A letter that means the same. */
  readonly short?: string;
  /** What the value may be; of `files` it is the path of one. */
  readonly values?: readonly string[] | "files";
  /** The value is a whole number within these. */
  readonly between?: readonly [min: number, max: number];
}

export interface OperandEntry {
  readonly name: string;
  readonly help: string;
  readonly optional?: true;
  readonly many?: true;
  readonly values?: OptionEntry["values"];
}

/** What is done and to what: `secrets set NAME`. */
export interface ActionEntry {
  /** Empty for the only thing that a command does. */
  readonly name: string;
  readonly summary: string;
  /** Under the summary, in its help. */
  readonly more?: string;
  /** Where it acts: adds --project, --organization, or both, of which one is given. */
  readonly place?: "project" | "organization" | "either";
  readonly operands?: readonly OperandEntry[];
  readonly options?: readonly OptionEntry[];
  /** False when what it prints is no JSON and cannot be. */
  readonly json?: false;
  /** It can also go by the API: adds --url and --key-file. */
  readonly api?: true;
  readonly examples: readonly string[];
}

export interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  readonly more?: string;
  readonly actions: readonly ActionEntry[];
}

const project: OptionEntry = { name: "project", value: "ID", help: "the project" };
const organization: OptionEntry = { name: "organization", value: "ID", help: "the organization" };
const places = {
  project: [{ ...project, required: true }],
  organization: [{ ...organization, required: true }],
  either: [project, organization],
} as const satisfies Record<string, readonly OptionEntry[]>;

const api: readonly OptionEntry[] = [
  { name: "url", value: "URL", help: "ask the API at this address instead of the database" },
  {
    name: "key-file",
    value: "FILE",
    help: "file with the platform key for the API; else STEPVAULT_KEY_FILE names it, or the key is read from stdin",
    values: "files",
  },
];
const json: OptionEntry = { name: "json", help: "print JSON: an object, or one a line for a list" };
const help: OptionEntry = { name: "help", short: "h", help: "print this" };

/** Every option that an action takes, in the order of its help. */
export function optionsOf(action: ActionEntry): OptionEntry[] {
  return [
    ...(action.place === undefined ? [] : places[action.place]),
    ...(action.options ?? []),
    ...(action.api === true ? api : []),
    ...(action.json === false ? [] : [json]),
    help,
  ];
}

/** How an action is called, without its optional options. */
export function synopsisOf(command: CommandEntry, action: ActionEntry): string {
  const operands = (action.operands ?? []).map(({ name, optional, many }) => {
    const text = many === true ? `${name}…` : name;
    return optional === true ? `[${text}]` : text;
  });
  const place = action.place === "either" ? ["(--project ID | --organization ID)"] : [];
  const required = optionsOf(action).flatMap(({ name, value, required: is }) =>
    is === true ? [`--${name} ${value}`] : [],
  );
  const words = ["stepvault", command.name, action.name, ...operands, ...place, ...required];
  return `${words.filter((word) => word !== "").join(" ")} [options]`;
}
