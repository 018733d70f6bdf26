/** Saved steps: their versions, which of them is published, and checking what is not yet saved. */
import { z } from "zod";
import { projectParams } from "../../protocol/http/organizations.ts";
import { pageQuery } from "../../protocol/http/common.ts";
import { submitQuery, submittedSchema } from "../../protocol/http/runs.ts";
import {
  publishSchema,
  savedStepSchema,
  stepCheckInput,
  stepCheckSchema,
  stepInputSchema,
  stepListQuery,
  stepPage,
  stepParams,
  stepSchema,
  stepTestSchema,
  stepVersionPage,
  stepVersionParams,
  stepVersionSchema,
} from "../../protocol/http/steps.ts";
import type { SavedStep } from "../../runs/steps.ts";
import { givenAgain, type Made } from "../idempotency.ts";
import { decodeCursor, pageOfRows } from "../paging.ts";
import { defineRoute, type Route } from "../route.ts";
import { keyedRunId } from "../run-id.ts";
import { submitAndWait } from "../submit-and-wait.ts";

const idKey = z.tuple([z.uuid()]);
const versionKey = z.tuple([z.int32().min(1)]);
const againNote =
  "Sent again with the same header Idempotency-Key within 24 hours, it gives the version that was saved at first, and saves and publishes nothing.";

export const stepRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/steps",
    operationId: "listSteps",
    summary: "The project's steps, oldest first",
    tag: "steps",
    params: projectParams,
    query: stepListQuery,
    responses: { 200: stepPage },
    access: "principal",
    async handler({ vault, params, query, parts }) {
      await vault.authorize("step.read", params);
      const { limit, cursor, published } = query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, idKey)[0];
      const rows = await parts.steps.list(params.projectId, { after, published, limit: limit + 1 });
      return pageOfRows(rows, limit, ({ id }) => [id]);
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/steps",
    operationId: "createStep",
    summary: "Save a step, as its first version",
    description: againNote,
    tag: "steps",
    params: projectParams,
    body: stepInputSchema,
    responses: { 201: savedStepSchema },
    access: "principal",
    idempotent: true,
    async handler(context) {
      const { principal, params, body, parts } = context;
      const around = givenAgain(context, "createStep", savedBefore);
      return await parts.steps.save({ ...params, ...body }, principal.actor, around);
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/steps/:stepId",
    operationId: "getStep",
    summary: "A step",
    tag: "steps",
    params: stepParams,
    responses: { 200: stepSchema },
    access: "principal",
    async handler({ vault, params, parts }) {
      await vault.authorize("step.read", { projectId: params.projectId });
      return await parts.steps.get(params.projectId, params.stepId);
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/steps/:stepId/versions",
    operationId: "listStepVersions",
    summary: "A step's versions with their code, the newest first",
    tag: "steps",
    params: stepParams,
    query: pageQuery,
    responses: { 200: stepVersionPage },
    access: "principal",
    async handler({ vault, params, query, parts }) {
      await vault.authorize("step.read", { projectId: params.projectId });
      const { limit, cursor } = query;
      const before = cursor === undefined ? undefined : decodeCursor(cursor, versionKey)[0];
      const { projectId, stepId } = params;
      const rows = await parts.steps.listVersions(projectId, { stepId, before, limit: limit + 1 });
      return pageOfRows(rows, limit, ({ version }) => [version]);
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/steps/:stepId/versions",
    operationId: "createStepVersion",
    summary: "Save the next version of a step",
    description: againNote,
    tag: "steps",
    params: stepParams,
    body: stepInputSchema,
    responses: { 201: savedStepSchema },
    access: "principal",
    idempotent: true,
    async handler(context) {
      const { principal, params, body, parts } = context;
      const around = givenAgain(context, "createStepVersion", savedBefore);
      const { projectId, stepId } = params;
      return await parts.steps.save({ projectId, id: stepId, ...body }, principal.actor, around);
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/steps/:stepId/versions/:version",
    operationId: "getStepVersion",
    summary: "A version of a step with its code",
    tag: "steps",
    params: stepVersionParams,
    responses: { 200: stepVersionSchema },
    access: "principal",
    async handler({ vault, params, parts }) {
      const { projectId, ...which } = params;
      await vault.authorize("step.read", { projectId });
      return await parts.steps.getVersion(projectId, which);
    },
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/projects/:projectId/steps/:stepId/published",
    operationId: "publishStep",
    summary: "Choose the version that runs when none is named",
    tag: "steps",
    params: stepParams,
    body: publishSchema,
    responses: { 200: stepSchema },
    access: "principal",
    async handler({ principal, params, body, parts }) {
      const { projectId, stepId } = params;
      return await parts.steps.publish({ projectId, stepId, version: body.version }, principal.actor);
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/steps/:stepId/test",
    operationId: "testStep",
    summary: "Run the newest version of a step, or the one that is named, whether it is published or not",
    description: `To run what was never saved, submit a run with its code. The run has the label \`test\`. Sent again with the same header Idempotency-Key, it gives the run that was made at first.`,
    tag: "steps",
    params: stepParams,
    query: submitQuery,
    body: stepTestSchema,
    responses: { 202: submittedSchema, 200: submittedSchema },
    access: "principal",
    idempotent: true,
    async handler({ vault, principal, params, query, body, parts, reply, signal, idempotencyKey }) {
      const { projectId, stepId } = params;
      await vault.authorize("step.write", { projectId });
      const version = body.version ?? (await parts.steps.get(projectId, stepId)).version;
      const runId = keyedRunId(projectId, principal, idempotencyKey);
      const job = { projectId, runId, step: { id: stepId, version }, params: body.params, labels: { test: "true" } };
      return await submitAndWait({ vault, principal, parts, reply, signal }, { job, waitSeconds: query.wait });
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/steps/check",
    operationId: "checkStep",
    summary: "Which references of a step to secrets would fail, and why, before it is saved",
    description: "Nothing runs and no value is opened.",
    tag: "steps",
    params: projectParams,
    body: stepCheckInput,
    responses: { 200: stepCheckSchema },
    access: "principal",
    async handler({ principal, params, body, parts }) {
      const { references, failures, summary } = await parts.steps.check({ ...params, ...body }, principal.actor);
      return { references, failures: [...failures], summary };
    },
  }),
];

function savedBefore({ id, version }: Made): SavedStep {
  return { id, version: version! };
}
