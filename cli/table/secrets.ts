/** Commands on secrets, leaks and the audit log: entries of the table of commands. Data only. */
import type { ActionEntry, CommandEntry, OperandEntry, OptionEntry } from "./types.ts";

const name: OperandEntry = { name: "NAME", help: "the secret's name" };
const days: OptionEntry = { name: "days", value: "N", between: [0, 36_500], help: "so many days back" };
const organization = { place: "organization" } as const;

const valueOptions: readonly OptionEntry[] = [
  { name: "policy", value: "FILE", values: "files", help: "a JSON file with where the value may go" },
  { name: "description", value: "TEXT", help: "what it is for" },
  { name: "tag", value: "TAG", many: true, help: "a tag" },
  { name: "expires", value: "DATE", help: "never, a date such as 2027-01-31, or a date and time" },
  { name: "access", value: "IDS", help: "of an organization's: all, or ids of projects with commas" },
  {
    name: "if-version",
    value: "N",
    between: [0, 2_147_483_647],
    help: "only while it is at this version; 0: only a new one",
  },
];

/** One on a secret by its name. */
function on(action: string, summary: string, more: Partial<ActionEntry> = {}): ActionEntry {
  const examples = [`stepvault secrets ${action} stripe_key --project 0199…`];
  return { name: action, summary, place: "either", operands: [name], examples, ...more };
}

export const secretCommands: readonly CommandEntry[] = [
  {
    name: "secrets",
    summary: "secrets of a project or an organization",
    more: `They act as the operator on the database of the settings. Values come from stdin or a prompt, never from arguments, and
are printed by \`get --reveal\` and \`export\` alone.`,
    actions: [
      {
        name: "list",
        summary: "Lists what there is, without values; of a project with what it inherits",
        place: "either",
        examples: ["stepvault secrets list --project 0199…"],
      },
      on("set", "Stores the value from stdin or the prompt, as a new secret or its next version", {
        options: valueOptions,
        examples: ['printf %s "$KEY" | stepvault secrets set stripe_key --project 0199… --policy policy.json'],
      }),
      on("rotate", "The same, and the version before ends by itself once nothing used it for a while", {
        options: [
          ...valueOptions,
          { name: "end-unused-hours", value: "N", between: [1, 8_760], help: "for how long (24)" },
        ],
        examples: ["stepvault secrets rotate stripe_key --project 0199… --end-unused-hours 48"],
      }),
      on("change", "Changes what a secret has besides its value", {
        options: [
          ...valueOptions.filter(({ name: option }) => ["description", "tag", "expires", "access"].includes(option)),
          { name: "rotation-days", value: "N|never", help: "after how long with one version to remind" },
        ],
        examples: ["stepvault secrets change stripe_key --project 0199… --expires 2027-01-31"],
      }),
      on("get", "Shows what is known of a secret", {
        options: [{ name: "reveal", help: "print the value instead, which the audit log tells" }],
      }),
      on("history", "Lists its versions"),
      on("rollback", "Makes value and policy of an earlier version the next version", {
        options: [{ name: "to", value: "N", between: [1, 2_147_483_647], required: true, help: "the earlier version" }],
        examples: ["stepvault secrets rollback stripe_key --project 0199… --to 3"],
      }),
      on("enable", "Switches a secret on"),
      on("disable", "Switches a secret off: a run that refers to it is rejected"),
      on("delete", "Deletes a secret, which can be undone"),
      on("restore", "Brings a deleted secret back"),
      on("destroy", "Destroys versions of a secret, or all of it, for good", {
        options: [
          { name: "version", value: "N", many: true, between: [1, 2_147_483_647], help: "a version" },
          { name: "all", help: "the whole secret" },
        ],
        examples: ["stepvault secrets destroy stripe_key --project 0199… --version 2 --version 3"],
      }),
      {
        name: "import",
        summary: "Stores the secrets of a file: .env lines or JSON",
        place: "either",
        operands: [{ name: "FILE", help: "the file", values: "files" }],
        options: [
          { name: "dry-run", help: "only show what would change" },
          { name: "overwrite", help: "also give secrets that are there the file's value" },
          { name: "prune", help: "also delete secrets that the file has not" },
        ],
        examples: ["stepvault secrets import .env --project 0199… --dry-run"],
      },
      {
        name: "export",
        summary: "Prints values, as far as they may be",
        place: "either",
        json: false,
        options: [
          { name: "format", value: "FORMAT", required: true, values: ["env", "json"], help: "of what is printed" },
        ],
        examples: ["umask 077; stepvault secrets export --project 0199… --format env > .env"],
      },
      on("explain", "Says which secret the name means in a project, and why no other; exit code 1 when none", {
        place: "project",
        options: [{ name: "step", value: "ID", help: "for this saved step" }],
      }),
      on("uses", "Says who used a secret"),
      on("impact", "Says who would break without a secret", { options: [days] }),
      {
        name: "unused",
        summary: "Lists secrets that nobody used",
        place: "either",
        options: [{ ...days, required: true }],
        examples: ["stepvault secrets unused --project 0199… --days 90"],
      },
      {
        name: "stale",
        summary: "Lists secrets that should be rotated",
        place: "either",
        examples: ["stepvault secrets stale --organization 0199…"],
      },
      {
        name: "verify",
        summary: "Says whether all rows are as they were written; exit code 4 when not",
        place: "either",
        examples: ["stepvault secrets verify --project 0199…"],
      },
    ],
  },
  {
    name: "leaks",
    summary: "what a leaked text is, and ending it",
    more: "Exit code 0 when nothing of the organization's is in the text on stdin, 1 when something is.",
    actions: [
      {
        ...organization,
        name: "find",
        summary: "Says what stands in the text on stdin: secrets and their versions, credentials, platform keys",
        examples: ["stepvault leaks find --organization 0199… < found.txt"],
      },
      {
        ...organization,
        name: "end",
        summary: "Revokes keys that stand in it with their embed keys, and switches credentials and secrets off",
        options: [
          {
            name: "replacement",
            value: "FILE",
            values: "files",
            help: "secrets get the value in it instead of being switched off",
          },
        ],
        examples: ["stepvault leaks end --organization 0199… < found.txt"],
      },
    ],
  },
  {
    name: "audit",
    summary: "the audit log: read, export its head, verify it",
    actions: [
      {
        ...organization,
        name: "verify",
        summary: "Reads the whole log and says whether it is what was written; exit code 4 when it is not",
        options: [
          {
            name: "head",
            value: "FILE",
            values: "files",
            help: "also whether it leads through the event that this head names",
          },
        ],
        examples: ["stepvault audit verify --organization 0199… --head /mnt/elsewhere/audit-head.json"],
      },
      {
        ...organization,
        name: "head",
        summary: "Prints where the log ends now, signed, as JSON: keep it elsewhere",
        examples: ["stepvault audit head --organization 0199… > /mnt/elsewhere/audit-head.json"],
      },
      {
        ...organization,
        name: "list",
        summary: "Prints events, the latest first",
        options: [
          { name: "project", value: "ID", help: "only of this project" },
          { name: "limit", value: "N", between: [1, 1_000], help: "at most so many (50)" },
          { name: "before", value: "SEQ", between: [1, 999_999_999], help: "only those before this one" },
        ],
        examples: ["stepvault audit list --organization 0199… --limit 100 --json"],
      },
    ],
  },
];
