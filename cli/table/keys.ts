/** Commands on platform keys, embed keys, the root key and sign-ins: entries of the table of commands. Data only. */
import { keyScopes } from "../../protocol/roles.ts";
import type { ActionEntry, CommandEntry, OperandEntry, OptionEntry } from "./types.ts";

const keyId: OperandEntry = { name: "KEY_ID", help: "the key's id, as the list has it" };
const person: OperandEntry = {
  name: "PERSON",
  help: "the person's id; without one, the deployment's own owner",
  optional: true,
};
const name: OptionEntry = { name: "name", value: "NAME", help: "what it is called" };
const scope: OptionEntry = { name: "scope", value: "SCOPE", many: true, values: keyScopes, help: "what it may do" };
const access: OptionEntry = {
  name: "access",
  value: "IDS",
  help: "of an organization's: all, or ids of projects with commas",
};
const expires: OptionEntry = {
  name: "expires-days",
  value: "N",
  between: [1, 90],
  help: "its life, 7 to 90; else it has no end",
};
const requestsMax = { value: "N", between: [1, 1_000_000] } as const;

function onKey(action: string, summary: string, more: Partial<ActionEntry> = {}): ActionEntry {
  const examples = [`stepvault keys ${action} 0199… --project 0199…`];
  return { name: action, summary, place: "either", operands: [keyId], examples, ...more };
}

export const keyCommands: readonly CommandEntry[] = [
  {
    name: "keys",
    summary: "platform keys of a project or an organization",
    more: "create and rotate print the key once, alone on stdout; it can never be shown again.",
    actions: [
      {
        name: "create",
        summary: "Makes a key and prints it once",
        place: "either",
        options: [{ ...name, required: true }, { ...scope, required: true }, access, expires],
        examples: [
          "stepvault keys create --project 0199… --name CI --scope trigger --expires-days 30 > ci.key",
          "stepvault keys create --organization 0199… --name Ops --scope admin --access all --expires-days 7",
        ],
      },
      {
        name: "list",
        summary: "Lists keys, never a key itself",
        place: "either",
        examples: ["stepvault keys list --project 0199…"],
      },
      onKey("rotate", "Makes a key's successor and prints it once; the old key ends after the overlap", {
        options: [{ name: "grace-days", value: "N", between: [0, 30], help: "days of the overlap (7)" }, expires],
      }),
      onKey("change", "Changes a key's name, scopes or access", {
        options: [name, scope, access],
        examples: ["stepvault keys change 0199… --project 0199… --scope trigger --scope read:runs"],
      }),
      onKey("revoke", "Stops a key at once; it stays in the list"),
      onKey("delete", "Stops a key at once and takes it out of the list"),
      {
        name: "policy",
        summary: "Shows what an organization's keys must be like, or changes it for those to come",
        place: "organization",
        options: [
          { name: "expiry", value: "RULE", values: ["required", "optional"], help: "whether a key must have an end" },
          { name: "expires-days-max", value: "N", between: [7, 90], help: "how long it may live at most" },
        ],
        examples: ["stepvault keys policy --organization 0199… --expiry required --expires-days-max 30"],
      },
    ],
  },
  {
    name: "embed-keys",
    summary: "keys for pages in a browser, each for one public agent",
    actions: [
      {
        name: "create",
        summary: "Makes an embed key and prints it once",
        place: "project",
        options: [
          { name: "agent", value: "ID", help: "the agent that it is for" },
          { name: "workforce", value: "ID", help: "or the workforce" },
          { name: "origin", value: "ORIGIN", many: true, help: "a page that may use it, such as https://shop.example" },
          { name: "expires-days", value: "N", between: [1, 30], help: "its life; else it has no end" },
          { name: "requests-max", ...requestsMax, help: "how often it may be used at all" },
          { name: "requests-per-minute-max", ...requestsMax, help: "and in a minute" },
        ],
        examples: ["stepvault embed-keys create --project 0199… --agent 0199… --origin https://shop.example"],
      },
      {
        name: "list",
        summary: "Lists the project's embed keys",
        place: "project",
        examples: ["stepvault embed-keys list --project 0199…"],
      },
      {
        name: "revoke",
        summary: "Stops an embed key",
        place: "project",
        operands: [keyId],
        examples: ["stepvault embed-keys revoke 0199… --project 0199…"],
      },
    ],
  },
  {
    name: "root-key",
    summary: "change the root key, in stages",
    more: "The next key is given beside the one in use, as a setting; docs/keys.md has the steps.",
    actions: [
      { name: "stage", summary: "Registers the next root key and proves it", examples: ["stepvault root-key stage"] },
      { name: "promote", summary: "Makes the staged key the one in use", examples: ["stepvault root-key promote"] },
      {
        name: "rewrap",
        summary: "Wraps what is under the key before it anew; can be stopped and repeated",
        options: [{ name: "batch", value: "N", between: [1, 10_000], help: "keys in a transaction (100)" }],
        examples: ["stepvault root-key rewrap --batch 500"],
      },
      {
        name: "retire",
        summary: "Forgets the key before it, once nothing is under it",
        examples: ["stepvault root-key retire"],
      },
    ],
  },
  {
    name: "sign-in",
    summary: "a new link to sign in with",
    actions: [
      {
        name: "",
        summary: "Prints a link to sign in to the API with: it works once, within 15 minutes",
        more: "The link is a way in: give it to that person alone.",
        operands: [person],
        options: [{ name: "url", value: "URL", help: "where people reach the API; else what the settings say" }],
        examples: ["stepvault sign-in", "stepvault sign-in ada@example.com --url https://stepvault.example.com"],
      },
    ],
  },
  {
    name: "sessions",
    summary: "who is signed in",
    actions: [
      {
        name: "list",
        summary: "Lists a person's sessions",
        operands: [person],
        examples: ["stepvault sessions list ada@example.com"],
      },
      {
        name: "end",
        summary: "Ends a person's sessions, or one of them",
        operands: [person],
        options: [{ name: "session", value: "ID", help: "only this one" }],
        examples: ["stepvault sessions end ada@example.com"],
      },
    ],
  },
];
