/** Runs: submitting, looking, following, cancelling. What is not the caller's to see is as if it was not there. */
import { z } from "zod";
import { noContent } from "../../protocol/http/common.ts";
import { projectParams } from "../../protocol/http/organizations.ts";
import {
  batchSchema,
  eventPageQuery,
  eventPageSchema,
  eventsQuery,
  outputSchema,
  runEventSchema,
  runInputSchema,
  runListQuery,
  runPage,
  runParams,
  runQuery,
  runSchema,
  submitQuery,
  submittedBatchSchema,
  submittedSchema,
} from "../../protocol/http/runs.ts";
import { StepvaultError } from "../../protocol/error.ts";
import type { JobInput } from "../../protocol/job.ts";
import { firstWanted, sendEvents, type StreamFormat, streamHeaders } from "../event-stream.ts";
import { decodeCursor, encodeCursor } from "../paging.ts";
import { defineRoute, type Route, type RouteContext, type StreamAnswer } from "../route.ts";
import { allowedJob, readRun, requireReader, requireStarter, submitterOf } from "../run-access.ts";
import { keyedRunId } from "../run-id.ts";
import { submitAndWait } from "../submit-and-wait.ts";

const idNote =
  "Sent again with the same `runId`, or the same header Idempotency-Key, it gives the run that was made at first.";

/** Well below what clients take as one answer. */
const eventPageBytesMax = 1024 * 1024;

const position = z.tuple([z.int().min(0), z.uuid()]);

export const runRoutes: readonly Route[] = [
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/runs",
    operationId: "submitRun",
    summary: "Submit a run, and wait for its end if asked to",
    description: idNote,
    tag: "runs",
    params: projectParams,
    query: submitQuery,
    body: runInputSchema,
    responses: { 202: submittedSchema, 200: submittedSchema },
    access: "principal",
    idempotent: true,
    bodyBytesMax: 24 * 1024 * 1024,
    admit: async ({ vault, principal, params }) => await requireStarter({ vault, principal }, params.projectId),
    async handler({ vault, principal, params, query, body, parts, reply, signal, idempotencyKey }) {
      const { projectId } = params;
      const runId = body.runId ?? keyedRunId(projectId, principal, idempotencyKey);
      const job = { ...body, projectId, runId };
      return await submitAndWait({ vault, principal, parts, reply, signal }, { job, waitSeconds: query.wait });
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/runs/batch",
    operationId: "submitRuns",
    summary: "Submit up to 1,000 runs, all or none",
    description: `A run may name another one of the batch in \`after\` by its \`runId\`. ${idNote}`,
    tag: "runs",
    params: projectParams,
    body: batchSchema,
    responses: { 202: submittedBatchSchema },
    access: "principal",
    idempotent: true,
    bodyBytesMax: 64 * 1024 * 1024,
    async admit({ vault, principal, params }) {
      if (principal.embed !== undefined)
        throw new StepvaultError("ERR_FORBIDDEN", "Cannot submit the batch: an embed key starts one run at a time");
      await requireStarter({ vault, principal }, params.projectId);
    },
    async handler({ vault, principal, params, body, parts, idempotencyKey }) {
      const { projectId } = params;
      const jobs: JobInput[] = body.runs.map((run, place) => ({
        ...run,
        projectId,
        runId: run.runId ?? keyedRunId(projectId, principal, idempotencyKey, place),
      }));
      for (const job of oneOfEachKind(jobs)) await allowedJob({ vault, principal, parts }, job);
      return { runs: await parts.runs.submitBatch(jobs, submitterOf(principal)) };
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/runs",
    operationId: "listRuns",
    summary: "The project's runs, the newest first",
    tag: "runs",
    params: projectParams,
    query: runListQuery,
    responses: { 200: runPage },
    access: "principal",
    async handler({ vault, principal, params, query, parts }) {
      await requireReader({ vault, principal }, params.projectId);
      const { limit, cursor, status, label, ...filter } = query;
      const from = cursor === undefined ? undefined : decodeCursor(cursor, position);
      const labels = [label ?? []].flat().map(pairOf);
      const { runs, next } = await parts.runs.list(params.projectId, {
        limit,
        filter: {
          ...filter,
          status: status === undefined ? undefined : [status].flat(),
          labels,
          submittedBy: principal.embed === undefined ? undefined : principal.actor.id,
        },
        from: from === undefined ? undefined : { createdUs: from[0], id: from[1] },
      });
      if (next === undefined) return { data: runs, pagination: { hasMore: false } };
      return { data: runs, pagination: { cursor: encodeCursor([next.createdUs, next.id]), hasMore: true } };
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/runs/:runId",
    operationId: "getRun",
    summary: "A run, and its result once it has ended",
    tag: "runs",
    params: runParams,
    query: runQuery,
    responses: { 200: runSchema },
    access: "principal",
    async handler({ vault, principal, params, query, parts, signal }) {
      await requireReader({ vault, principal }, params.projectId);
      const run = await readRun({ principal, parts }, params);
      if (run.result !== null || query.wait === 0) return run;
      await parts.runs.wait(params.projectId, params.runId, { timeoutMs: query.wait * 1_000, signal });
      return await readRun({ principal, parts }, params);
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/runs/:runId/cancel",
    operationId: "cancelRun",
    summary: "Ask for the end of a run that waits or runs",
    description: "The run's workers see to it within a second. A run that has ended stays as it is.",
    tag: "runs",
    params: runParams,
    responses: { 202: runSchema },
    access: "principal",
    async handler({ vault, principal, params, parts }) {
      await requireStarter({ vault, principal }, params.projectId);
      await readRun({ principal, parts }, params);
      await parts.runs.cancel(params.projectId, params.runId);
      return await readRun({ principal, parts }, params);
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/runs/:runId/output",
    operationId: "getRunOutput",
    summary: "What a run that succeeded has given; 409 while it has not ended",
    tag: "runs",
    params: runParams,
    responses: { 200: outputSchema },
    access: "principal",
    async handler({ vault, principal, params, parts }) {
      await requireReader({ vault, principal }, params.projectId);
      await readRun({ principal, parts }, params);
      return { output: (await parts.runs.output(params.projectId, params.runId)) ?? null };
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/runs/:runId/events",
    operationId: "listRunEvents",
    summary: "A run's events so far, in order",
    description:
      "A page has at most `limit` events, and fewer where they are large: 1 MiB together, though one at least. While " +
      "`hasMore` is true, ask again with `after`.",
    tag: "runs",
    params: runParams,
    query: eventPageQuery,
    responses: { 200: eventPageSchema },
    access: "principal",
    async handler({ vault, principal, params, query, parts }) {
      await requireReader({ vault, principal }, params.projectId);
      await readRun({ principal, parts }, params);
      const from = firstWanted(undefined, query.after);
      const { projectId, runId } = params;
      const bounds = { from, limit: query.limit, bytesMax: eventPageBytesMax };
      const { events: data, hasMore } = await parts.runs.eventPage(projectId, runId, bounds);
      const after = data.at(-1)?.seq;
      return { data, pagination: { ...(after === undefined ? {} : { after }), hasMore } };
    },
  }),
  ...(["sse", "ndjson"] as const).map((format) =>
    defineRoute({
      method: "GET",
      path: `/v1/projects/:projectId/runs/:runId/events/${format === "sse" ? "stream" : "ndjson"}`,
      operationId: format === "sse" ? "streamRunEvents" : "streamRunEventLines",
      summary:
        format === "sse" ? "A run's events as they come, as server-sent events" : "The same, a line of JSON each",
      description:
        "Begins after the event that the header Last-Event-ID, or `after`, names. Ends after the event `finished`; " +
        "asked again from there on, the answer is 204, at which EventSource stops.",
      tag: "runs",
      params: runParams,
      query: eventsQuery,
      responses: { 200: runEventSchema, 204: noContent },
      access: "principal",
      stream: format === "sse" ? "text/event-stream" : "application/x-ndjson",
      handler: async (context) => await stream(context, format),
    }),
  ),
];

type EventsContext = RouteContext<z.output<typeof runParams>, z.output<typeof eventsQuery>, undefined, "principal">;

async function stream(
  { vault, principal, params, query, parts, request, reply, signal }: EventsContext,
  format: StreamFormat,
): Promise<StreamAnswer | undefined> {
  await requireReader({ vault, principal }, params.projectId);
  const { projectId, runId } = params;
  await readRun({ principal, parts }, params);
  const from = firstWanted(request.headers["last-event-id"], query.after);
  if (await parts.runs.isOver(runId, from)) {
    reply.code(204);
    return undefined;
  }
  reply.headers(streamHeaders[format]);
  const follow = (gone: AbortSignal): ReturnType<typeof parts.runs.follow> =>
    parts.runs.follow(projectId, runId, { from, signal: gone });
  return async (body) => void (await sendEvents(body, follow, { format, signal }));
}

/** NAME:VALUE; a value may have colons of its own. */
function pairOf(label: string): [name: string, value: string] {
  const colon = label.indexOf(":");
  return [label.slice(0, colon), label.slice(colon + 1)];
}

/** One job of each kind that there are different rules for. */
function oneOfEachKind(jobs: readonly JobInput[]): JobInput[] {
  const kinds = Map.groupBy(jobs, ({ step }) => "code" in step);
  return [...kinds.values()].map(([job]) => job!);
}
