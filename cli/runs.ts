/** `stepvault runs`: submitting, following, looking at and cancelling runs, by the database or an API. */
import type { JobInput, RunResult } from "../protocol/job.ts";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { Interrupted } from "./interruption.ts";
import { withProgress } from "./progress.ts";
import { type ProjectAccess, type ShownRun, withProject } from "./project-access.ts";
import { showResult } from "./run-result.ts";
import { paramsFrom, stepFrom } from "./step-file.ts";
import { data, EventPrinter, exitCodeOf, exitCodes, note } from "./terminal.ts";
import { pairsOf, print, printDone, printOne } from "./vault-options.ts";

const limitDefault = 50;

export const runsHandlers: Handlers = {
  async submit(given) {
    const job = jobOf(given);
    if (given.has("wait") || given.has("follow"))
      return await showEnd(given, async (project) => (await project.submit(job)).runId);
    const submitted = await withProject(given, async (project) => await project.submit(job));
    printDone(given, submitted, { data: submitted.runId });
    return exitCodes.success;
  },
  async list(given) {
    const asked = {
      status: given.texts("status"),
      stepId: given.text("step"),
      labels: pairsOf(given, "label"),
      limit: given.number("limit") ?? limitDefault,
    };
    print(await withProject(given, async (project) => await project.listRuns(asked)), {
      json: given.json,
      head: ["id", "status", "step", "created", "ended", "labels"],
      cells: ({ id, status, stepId, language, createdAt, endedAt, labels }) => [
        id,
        status,
        stepId ?? language ?? "",
        createdAt,
        endedAt ?? "",
        Object.entries(labels)
          .map(([name, value]) => `${name}=${value}`)
          .join(" "),
      ],
    });
  },
  async show(given) {
    printOne(await withProject(given, async (project) => await project.getRun(given.required("RUN"))), given);
  },
  async logs(given) {
    return await withProject(given, async (project) => await printLogs(given, project));
  },
  async cancel(given) {
    const run = await withProject(given, async (project) => await project.cancel(given.required("RUN")));
    const asked = run.result === null ? "it is asked to end" : `it had ended: ${run.status}`;
    printDone(given, run, { note: asked });
  },
  async output(given) {
    const output = await withProject(given, async (project) => await project.output(given.required("RUN")));
    data(`${JSON.stringify(output, undefined, given.json ? 0 : 2)}\n`);
  },
};

/** Submits a run, waits for its end and shows it as `stepvault run` does; gives the exit code. Throws Interrupted. */
export async function showEnd(given: Given, submit: (project: ProjectAccess) => Promise<string>): Promise<number> {
  const follow = given.has("follow");
  const printer = new EventPrinter();
  let runId: string | undefined;
  const wait = async (project: ProjectAccess): Promise<ShownRun> => {
    const id = (runId = await submit(project));
    for await (const event of project.events(id, { follow: true })) if (follow) printer.show(event);
    return await project.getRun(id);
  };
  try {
    const run = await withProject(given, async (project) =>
      follow ? await wait(project) : await withProgress("waiting for the run", async () => await wait(project)),
    );
    printer.end();
    return showResult(ended(run), { printer, json: given.json, shown: follow });
  } catch (error) {
    if (error instanceof Interrupted && runId !== undefined)
      note(`the run goes on: stepvault runs logs ${runId} --follow`);
    throw error;
  }
}

async function printLogs(given: Given, project: ProjectAccess): Promise<number> {
  const runId = given.required("RUN");
  const follow = given.has("follow");
  const printer = new EventPrinter((line) => data(`${line}\n`), process.stdout);
  for await (const event of project.events(runId, { follow })) {
    if (given.json) data(`${JSON.stringify(event)}\n`);
    else printer.show(event);
  }
  printer.end();
  const error = follow ? ended(await project.getRun(runId)).error : undefined;
  return error === undefined ? exitCodes.success : exitCodeOf(error.fault);
}

function ended({ result, id, status }: ShownRun): RunResult {
  if (result !== null) return result;
  // Its events are over before it is: they were forgotten, or the service is closing.
  throw new Error(`the run ${id} has no more events and is ${status}`);
}

function jobOf(given: Given): Omit<JobInput, "projectId"> {
  const [stepId, delay, version] = [given.text("step"), given.number("delay"), given.number("version")];
  if ((stepId === undefined) === (given.operands[0] === undefined))
    throw new UsageError("say what to run: FILE or --step ID, and one of them");
  if (stepId !== undefined && (given.has("network") || given.has("limit")))
    throw new UsageError("--network and --limit are for a FILE; a saved step has its own");
  const runId = given.text("run-id");
  return {
    step: stepId === undefined ? stepFrom(given) : { id: stepId, ...(version !== undefined && { version }) },
    params: paramsFrom(given),
    labels: pairsOf(given, "label"),
    ...(delay !== undefined && { delayMs: delay * 1_000 }),
    ...(runId !== undefined && { runId }),
  };
}
