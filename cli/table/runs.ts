/** Commands on runs, saved steps and schedules: entries of the table of commands. Data only. */
import { runStatuses } from "../../protocol/job.ts";
import { codeOptions, paramOptions } from "./local.ts";
import type { ActionEntry, CommandEntry, OperandEntry, OptionEntry } from "./types.ts";

const runId: OperandEntry = { name: "RUN", help: "the run's id" };
const stepId: OperandEntry = { name: "STEP", help: "the step's id" };
const scheduleId: OperandEntry = { name: "SCHEDULE", help: "the schedule's id" };
const limit: OptionEntry = { name: "limit", value: "N", between: [1, 10_000], help: "at most so many (50)" };
const label: OptionEntry = { name: "label", value: "NAME=VALUE", many: true, help: "a label" };
const version: OptionEntry = { name: "version", value: "N", between: [1, 2_147_483_647], help: "this version of it" };
const step: OptionEntry = { name: "step", value: "ID", help: "a saved step" };
const inProject = { place: "project", api: true } as const satisfies Partial<ActionEntry>;

const elsewhere = `They act as the operator on the database of the settings, or with --url as the owner of a platform key on an API.`;

export const runCommands: readonly CommandEntry[] = [
  {
    name: "runs",
    summary: "submit, follow, look at and cancel runs",
    more: elsewhere,
    actions: [
      {
        ...inProject,
        name: "submit",
        summary: "Submits a run of a file's code or of a saved step, and prints its id",
        more: `With --wait it prints the output instead, once the run has ended, and exits by whose fault it ended; with --follow it
also shows the log, on stderr. Ctrl-C ends the waiting and not the run. Sent again with the same --run-id it is one run.`,
        operands: [
          {
            name: "FILE",
            help: "a step to run as it is, unless --step names a saved one",
            optional: true,
            values: "files",
          },
        ],
        options: [
          step,
          version,
          ...paramOptions,
          ...codeOptions,
          label,
          { name: "delay", value: "SECONDS", between: [0, 31_622_400], help: "not before so long from now" },
          { name: "run-id", value: "UUID", help: "the id that the run is to have" },
          { name: "wait", help: "wait for its end and print the output" },
          { name: "follow", short: "f", help: "the same, and show its log on stderr" },
        ],
        examples: [
          "stepvault runs submit step.py --project 0199… --param city=Bern --wait",
          "stepvault runs submit --step 0199… --project 0199… --label customer=42 --delay 60",
        ],
      },
      {
        ...inProject,
        name: "list",
        summary: "Lists the project's runs, the newest first",
        options: [
          {
            name: "status",
            value: "STATUS",
            many: true,
            help: "only in this state",
            values: ["queued", "running", ...runStatuses],
          },
          step,
          label,
          limit,
        ],
        examples: ["stepvault runs list --project 0199… --status failed --status timed_out --limit 20"],
      },
      {
        ...inProject,
        name: "show",
        summary: "Shows a run and how it ended",
        operands: [runId],
        examples: ["stepvault runs show 0199… --project 0199…"],
      },
      {
        ...inProject,
        name: "logs",
        summary: "Prints what a run has logged",
        more: "With --follow until the run ends; the exit code then says by whose fault it ended. --json prints all events.",
        operands: [runId],
        options: [{ name: "follow", short: "f", help: "go on until the run ends" }],
        examples: ["stepvault runs logs 0199… -f --project 0199…"],
      },
      {
        ...inProject,
        name: "cancel",
        summary: "Asks for the end of a run that waits or runs",
        operands: [runId],
        examples: ["stepvault runs cancel 0199… --project 0199…"],
      },
      {
        ...inProject,
        name: "output",
        summary: "Prints what a run that has ended has given, as JSON",
        operands: [runId],
        examples: ["stepvault runs output 0199… --project 0199… | jq .city"],
      },
    ],
  },
  {
    name: "steps",
    summary: "saved steps: versions, publishing, checking, testing",
    more: elsewhere,
    actions: [
      {
        ...inProject,
        name: "push",
        summary: "Saves a file as the next version of a step, or as a new one, and prints its id",
        more: "With --id all but the code stays as in the newest version, unless it is given anew.",
        operands: [{ name: "FILE", help: "the step's code", values: "files" }],
        options: [
          { name: "id", value: "STEP", help: "of which step it is the next version" },
          { name: "name", value: "TEXT", help: "what it is called (of a new step, the file's name)" },
          { name: "description", value: "TEXT", help: "what it does, for those who may call it, models too" },
          { name: "params-schema", value: "FILE", values: "files", help: "a JSON Schema of its params" },
          ...codeOptions,
          { name: "checked", help: "only if every reference to a secret would resolve" },
          { name: "publish", help: "make it the version that runs when none is named" },
        ],
        examples: [
          "stepvault steps push step.py --project 0199… --name 'Weather' --publish",
          "stepvault steps push step.py --id 0199… --project 0199… --checked --network 'GET api.example.com'",
        ],
      },
      {
        ...inProject,
        name: "list",
        summary: "Lists the project's steps, the oldest first",
        options: [{ name: "published", help: "only those that are published" }, limit],
        examples: ["stepvault steps list --project 0199…"],
      },
      {
        ...inProject,
        name: "show",
        summary: "Shows a step, or with --version the code of one of its versions",
        operands: [stepId],
        options: [version],
        examples: ["stepvault steps show 0199… --project 0199… --version 3 > step.py"],
      },
      {
        ...inProject,
        name: "publish",
        summary: "Makes a version the one that runs when none is named; `none` takes that back",
        operands: [stepId, { name: "VERSION", help: "its number, or none" }],
        examples: ["stepvault steps publish 0199… 3 --project 0199…"],
      },
      {
        ...inProject,
        name: "test",
        summary: "Runs the newest version, or --version, whether it is published or not, and prints the output",
        operands: [stepId],
        options: [version, ...paramOptions, { name: "follow", short: "f", help: "show its log on stderr" }],
        examples: ["stepvault steps test 0199… --project 0199… --param city=Bern"],
      },
      {
        ...inProject,
        name: "check",
        summary: "Says which references of a file to secrets would fail, and why; runs nothing",
        more: "Exit code 0 when none would, 1 when one would.",
        operands: [{ name: "FILE", help: "the step's code", values: "files" }],
        options: [{ name: "id", value: "STEP", help: "of which step it is to be the next version" }, ...codeOptions],
        examples: ["stepvault steps check step.py --project 0199…"],
      },
    ],
  },
  {
    name: "schedules",
    summary: "runs that are submitted at certain times",
    more: elsewhere,
    actions: [
      {
        ...inProject,
        name: "list",
        summary: "Lists the project's schedules",
        options: [limit],
        examples: ["stepvault schedules list --project 0199…"],
      },
      {
        ...inProject,
        name: "create",
        summary: "Makes a schedule for a saved step, and prints its id",
        operands: [{ name: "NAME", help: "what it is called" }],
        options: [
          { name: "cron", value: "CRON", required: true, help: "minute, hour, day of month, month, day of week" },
          { name: "time-zone", value: "ZONE", help: "such as Europe/Zurich (UTC)" },
          { ...step, required: true },
          version,
          ...paramOptions,
          label,
          { name: "disabled", help: "leave it off" },
        ],
        examples: [
          "stepvault schedules create Nightly --project 0199… --step 0199… --cron '0 3 * * *' --time-zone Europe/Zurich",
        ],
      },
      {
        ...inProject,
        name: "delete",
        summary: "Deletes a schedule; its runs stay",
        operands: [scheduleId],
        examples: ["stepvault schedules delete 0199… --project 0199…"],
      },
      {
        ...inProject,
        name: "enable",
        summary: "Switches a schedule on",
        operands: [scheduleId],
        examples: ["stepvault schedules enable 0199… --project 0199…"],
      },
      {
        ...inProject,
        name: "disable",
        summary: "Switches a schedule off",
        operands: [scheduleId],
        examples: ["stepvault schedules disable 0199… --project 0199…"],
      },
    ],
  },
];
