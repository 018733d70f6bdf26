/** Commands that need no service and no database: entries of the table of commands. Data only. */
import type { CommandEntry, OptionEntry } from "./types.ts";

export const paramOptions: readonly OptionEntry[] = [
  { name: "param", value: "NAME=VALUE", many: true, help: "a field of params; VALUE is JSON, or else a string" },
  { name: "params-file", value: "FILE", values: "files", help: "params as a JSON file" },
];

/** How the code of a file is to run. */
export const codeOptions: readonly OptionEntry[] = [
  {
    name: "network",
    value: "POLICY",
    many: true,
    help: 'none, open (the default), or a rule such as "GET api.example.com"',
  },
  { name: "limit", value: "NAME=NUMBER", many: true, help: "a limit, such as wallTimeMsMax=5000" },
];

const secretsFile: OptionEntry = {
  name: "secrets",
  value: "FILE",
  values: "files",
  help: "secrets, as a JSON object or .env lines",
};

export const localCommands: readonly CommandEntry[] = [
  {
    name: "run",
    summary: "run one step here, without a service",
    actions: [
      {
        name: "",
        summary: "Runs one JavaScript (.js, .mjs), TypeScript (.ts, .mts) or Python (.py) step, without a service",
        more: "The output goes to stdout as JSON, the log to stderr. The exit code says by whose fault the run ended.",
        operands: [{ name: "FILE", help: "the step", values: "files" }],
        options: [
          ...paramOptions,
          secretsFile,
          ...codeOptions,
          { name: "open", value: "HOST:PORT", many: true, help: "a private address that the step may reach" },
        ],
        examples: [
          "stepvault run step.py --param city=Bern --secrets .env",
          "stepvault run step.js --params-file params.json --network 'GET api.example.com' --json",
        ],
      },
    ],
  },
  {
    name: "redact",
    summary: "replace secrets in whatever passes through a pipe",
    actions: [
      {
        name: "",
        summary: "Copies stdin to stdout and replaces each secret of a file, in any encoding, by [REDACTED:name]",
        options: [{ ...secretsFile, required: true }],
        json: false,
        examples: ["./deploy.sh 2>&1 | stepvault redact --secrets .env"],
      },
    ],
  },
  {
    name: "packages",
    summary: "lock the packages that steps may import",
    more: "Prints the packages, one a line: their SHA-256 and path.",
    actions: [
      {
        name: "lock",
        summary: "Writes the lock file of a folder: the SHA-256 of every wheel and ES module in it",
        operands: [{ name: "DIR", help: "the folder", values: "files" }],
        examples: ["stepvault packages lock ./packages"],
      },
      {
        name: "check",
        summary: "Says whether the packages in a folder are those of its lock file, as a start does",
        operands: [{ name: "DIR", help: "the folder", values: "files" }],
        examples: ["stepvault packages check ./packages"],
      },
    ],
  },
  {
    name: "completion",
    summary: "a script that completes commands, for your shell",
    actions: [
      {
        name: "",
        summary: "Prints a script that completes commands, options and their values",
        operands: [{ name: "SHELL", help: "which shell", values: ["bash", "zsh", "fish"] }],
        json: false,
        examples: [
          "source <(stepvault completion bash)",
          "stepvault completion zsh > ~/.zfunc/_stepvault",
          "stepvault completion fish > ~/.config/fish/completions/stepvault.fish",
        ],
      },
    ],
  },
  {
    name: "help",
    summary: "what a command does, with examples",
    actions: [
      {
        name: "",
        summary: "Prints what a command does, its options and examples",
        operands: [
          { name: "COMMAND", help: "which command; all of them in short when there is none", optional: true },
          { name: "ACTION", help: "what it is to do", optional: true },
        ],
        json: false,
        examples: ["stepvault help secrets", "stepvault help secrets set"],
      },
    ],
  },
];
