/** `stepvault runs`: submitting, following, looking at and cancelling runs, by the database or an API. */
import type { JobInput, RunResult } from "../protocol/job.ts";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { withProgress } from "./progress.ts";
import { type ProjectAccess, withProject } from "./project-access.ts";
import { showResult } from "./run-result.ts";
import { paramsFrom, stepFrom } from "./step-file.ts";
import { data, dataJson, EventPrinter, exitCodeOf, exitCodes, note } from "./terminal.ts";
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
    dataJson(output, given.json ? 0 : 2);
  },
};

/**
 * Submits a run, waits for its end and shows it as `stepvault run` does; gives the exit code. Throws Interrupted, and what
 * submitting and waiting throw; the run's id is told before, as the run knows nothing of who waits.
 */
export async function showEnd(given: Given, submit: (project: ProjectAccess) => Promise<string>): Promise<number> {
  const follow = given.has("follow");
  const printer = new EventPrinter();
  let runId: string | undefined;
  const wait = async (project: ProjectAccess): Promise<RunResult> => {
    runId = await submit(project);
    if (follow) for await (const event of project.events(runId, { follow })) printer.show(event);
    return await project.result(runId);
  };
  let result: RunResult;
  try {
    result = await withProject(given, async (project) =>
      follow ? await wait(project) : await withProgress("waiting for the run", async () => await wait(project)),
    );
  } catch (error) {
    printer.end();
    if (runId !== undefined) note(`the run goes on: stepvault runs logs ${runId} --follow`);
    throw error;
  }
  printer.end();
  return showResult(result, { printer, json: given.json, shown: follow });
}

async function printLogs(given: Given, project: ProjectAccess): Promise<number> {
  const runId = given.required("RUN");
  const follow = given.has("follow");
  const printer = new EventPrinter((line) => data(`${line}\n`), process.stdout);
  for await (const event of project.events(runId, { follow })) {
    if (given.json) dataJson(event);
    else printer.show(event);
  }
  printer.end();
  const error = follow ? (await project.result(runId)).error : undefined;
  return error === undefined ? exitCodes.success : exitCodeOf(error.fault);
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
