/** Commands on organizations, projects, people, agents and credentials: entries of the table of commands. Data only. */
import { inheritanceModes } from "../../protocol/integrations.ts";
import { organizationRoles, projectRoles } from "../../protocol/roles.ts";
import type { CommandEntry, OperandEntry, OptionEntry } from "./types.ts";

const named: OperandEntry = { name: "NAME", help: "what it is called; names may repeat" };
const agent: OperandEntry = { name: "AGENT", help: "its id" };
const person: OperandEntry = { name: "PERSON", help: "the person's id" };
const integration: OperandEntry = {
  name: "INTEGRATION",
  help: "such as openai; `credentials integrations` lists them",
};
const steps: OptionEntry = { name: "step", value: "ID", many: true, help: "a saved step that it may run" };
const classes = Object.entries(inheritanceModes).flatMap(([name, mode]) => (mode === "opt_in" ? [name] : []));
const onOff = { value: "SWITCH", values: ["on", "off"] } as const;

const limits: readonly OptionEntry[] = [
  "runs-at-once-max",
  "runs-per-minute-max",
  "retention-days",
  "retention-bytes-max",
].map((name) => ({
  name,
  value: "N",
  help: `${name.replaceAll("-", " ").replace(" max", " at most")}; default: the deployment's`,
}));

export const placeCommands: readonly CommandEntry[] = [
  {
    name: "organizations",
    summary: "make and list organizations",
    actions: [
      {
        name: "create",
        summary: "Makes an organization and prints its id",
        operands: [named],
        examples: ["stepvault organizations create Acme"],
      },
      { name: "list", summary: "Lists all organizations", examples: ["stepvault organizations list"] },
    ],
  },
  {
    name: "projects",
    summary: "make, list and limit projects",
    actions: [
      {
        name: "create",
        summary: "Makes a project and prints its id",
        place: "organization",
        operands: [named],
        examples: ["stepvault projects create Support --organization 0199…"],
      },
      {
        name: "list",
        summary: "Lists an organization's projects",
        place: "organization",
        examples: ["stepvault projects list --organization 0199…"],
      },
      {
        name: "show",
        summary: "Shows a project with its limits",
        place: "project",
        examples: ["stepvault projects show --project 0199…"],
      },
      {
        name: "network",
        summary: "Sets what every step of a project may reach at most",
        place: "project",
        operands: [
          {
            name: "POLICY",
            many: true,
            help: 'none, open, step (what the step itself may), or rules such as "GET api.example.com"',
          },
        ],
        examples: [
          "stepvault projects network 'GET api.example.com' --project 0199…",
          "stepvault projects network step --project 0199…",
        ],
      },
      {
        name: "limits",
        summary: "Changes limits of a project; those that are not named stay",
        place: "project",
        options: limits,
        examples: ["stepvault projects limits --project 0199… --runs-at-once-max 4 --retention-days default"],
      },
    ],
  },
  {
    name: "members",
    summary: "who is in an organization or a project",
    actions: [
      {
        name: "list",
        summary: "Lists members and their roles",
        place: "either",
        examples: ["stepvault members list --organization 0199…"],
      },
      {
        name: "set",
        summary: "Adds a person, or changes their role",
        more: "Who is in a project is in its organization before.",
        place: "either",
        operands: [person],
        options: [
          {
            name: "role",
            value: "ROLE",
            required: true,
            values: [...new Set([...organizationRoles, ...projectRoles])],
            help: "their role",
          },
          { name: "name", value: "TEXT", help: "what an organization calls them" },
          { name: "can-create-assets", help: "of a project's member: may build steps" },
        ],
        examples: [
          "stepvault members set ada@example.com --organization 0199… --role admin --name Ada",
          "stepvault members set ada@example.com --project 0199… --role member --can-create-assets",
        ],
      },
      {
        name: "remove",
        summary: "Takes a person out, of an organization with all its projects",
        place: "either",
        operands: [person],
        examples: ["stepvault members remove ada@example.com --organization 0199…"],
      },
    ],
  },
  {
    name: "agents",
    summary: "agents and workforces: groups of steps for embed keys",
    actions: [
      { name: "list", summary: "Lists them", place: "project", examples: ["stepvault agents list --project 0199…"] },
      {
        name: "create",
        summary: "Makes one and prints its id",
        place: "project",
        operands: [named],
        options: [
          { name: "kind", value: "KIND", values: ["agent", "workforce"], help: "which of the two (agent)" },
          { name: "public", help: "let embed keys be made for it" },
          steps,
        ],
        examples: ["stepvault agents create Shop --project 0199… --step 0199… --public"],
      },
      {
        name: "change",
        summary: "Changes its name, its steps, or whether it is public",
        place: "project",
        operands: [agent],
        options: [
          { name: "name", value: "NAME", help: "what it is called" },
          { name: "public", help: "let embed keys be made for it" },
          { name: "private", help: "stop its embed keys" },
          { ...steps, help: "all the saved steps that it may run" },
        ],
        examples: ["stepvault agents change 0199… --project 0199… --private"],
      },
      {
        name: "delete",
        summary: "Deletes it and its embed keys",
        place: "project",
        operands: [agent],
        examples: ["stepvault agents delete 0199… --project 0199…"],
      },
    ],
  },
  {
    name: "credentials",
    summary: "credentials of integrations and model providers",
    actions: [
      {
        name: "integrations",
        summary: "Lists what credentials can be stored for, with their fields",
        examples: ["stepvault credentials integrations"],
      },
      {
        name: "list",
        summary: "Lists what a place itself has, without secret fields",
        place: "either",
        examples: ["stepvault credentials list --project 0199…"],
      },
      {
        name: "set",
        summary: "Stores a credential",
        more: `Its secret field comes from stdin or the prompt. Of an integration with several secret fields, --fields-file has them all.`,
        place: "either",
        operands: [integration],
        options: [
          { name: "field", value: "NAME=VALUE", many: true, help: "a field that is no secret" },
          { name: "fields-file", value: "FILE", values: "files", help: "all fields as a JSON object" },
        ],
        examples: ["stepvault credentials set openai --project 0199… < openai.key"],
      },
      {
        name: "enable",
        summary: "Switches a credential on",
        place: "either",
        operands: [integration],
        examples: ["stepvault credentials enable openai --project 0199…"],
      },
      {
        name: "disable",
        summary: "Switches a credential off",
        place: "either",
        operands: [integration],
        examples: ["stepvault credentials disable openai --project 0199…"],
      },
      {
        name: "remove",
        summary: "Removes a credential with its value",
        place: "either",
        operands: [integration],
        examples: ["stepvault credentials remove openai --organization 0199…"],
      },
      {
        name: "explain",
        summary: "Says which credential a project uses, and why no other; exit code 1 when none",
        place: "project",
        operands: [integration],
        examples: ["stepvault credentials explain openai --project 0199…"],
      },
      {
        name: "inherit",
        summary: "Shows, or switches, which of its organization's credentials a project uses",
        place: "project",
        options: [
          { name: "class", value: "CLASS", values: classes, help: "of which class" },
          { name: "integration", value: "ID", help: "only this one" },
          { name: "use", value: "SWITCH", values: ["on", "off", "class"], help: "on, off, or as its class" },
        ],
        examples: ["stepvault credentials inherit --project 0199… --class model --use on"],
      },
      {
        name: "standing",
        summary: "Shows, or changes, where an organization stands before the deployment's gates",
        place: "organization",
        options: [
          { name: "plan", value: "PLAN", values: ["free", "team", "enterprise"], help: "its plan" },
          { name: "rollout", ...onOff, help: "whether it has what is rolled out" },
          { name: "editors", ...onOff, help: "whether editors may change credentials in its projects" },
        ],
        examples: ["stepvault credentials standing --organization 0199… --plan enterprise"],
      },
    ],
  },
];
