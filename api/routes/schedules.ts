/** Schedules: runs that are submitted again and again. Who saves one must be allowed to start its run and to save a step. */
import { z } from "zod";
import { noContent, pageQuery } from "../../protocol/http/common.ts";
import { projectParams } from "../../protocol/http/organizations.ts";
import { scheduleInputSchema, schedulePage, scheduleParams, scheduleSchema } from "../../protocol/http/schedules.ts";
import { getSchedule, type ScheduleInput } from "../../runs/schedules.ts";
import { givenAgain } from "../idempotency.ts";
import { decodeCursor, pageOfRows } from "../paging.ts";
import type { ApiParts } from "../parts.ts";
import type { Principal } from "../principal.ts";
import { defineRoute, type Route } from "../route.ts";
import { allowedJob, submitterOf } from "../run-access.ts";
import type { Vault } from "../../vault/vault.ts";

const idKey = z.tuple([z.uuid()]);

export const scheduleRoutes: readonly Route[] = [
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/schedules",
    operationId: "listSchedules",
    summary: "The project's schedules, oldest first",
    tag: "schedules",
    params: projectParams,
    query: pageQuery,
    responses: { 200: schedulePage },
    access: "principal",
    async handler({ vault, params, query, parts }) {
      await vault.authorize("step.read", params);
      const { limit, cursor } = query;
      const after = cursor === undefined ? undefined : decodeCursor(cursor, idKey)[0];
      const rows = await parts.schedules.list(params.projectId, { after, limit: limit + 1 });
      return pageOfRows(rows, limit, ({ id }) => [id]);
    },
  }),
  defineRoute({
    method: "POST",
    path: "/v1/projects/:projectId/schedules",
    operationId: "createSchedule",
    summary: "Save a schedule",
    description:
      "Sent again with the same header Idempotency-Key within 24 hours, it gives the schedule that was made at first, as it is by now.",
    tag: "schedules",
    params: projectParams,
    body: scheduleInputSchema,
    responses: { 201: scheduleSchema },
    access: "principal",
    idempotent: true,
    async handler(context) {
      const { vault, principal, body, parts } = context;
      const { projectId } = context.params;
      const input = await allowedSchedule({ vault, principal, parts }, projectId, body);
      const around = givenAgain(context, "createSchedule", async ({ id }, client) => {
        return await getSchedule(client, projectId, id);
      });
      return await parts.schedules.create(projectId, { input, by: submitterOf(principal), around });
    },
  }),
  defineRoute({
    method: "GET",
    path: "/v1/projects/:projectId/schedules/:scheduleId",
    operationId: "getSchedule",
    summary: "A schedule",
    tag: "schedules",
    params: scheduleParams,
    responses: { 200: scheduleSchema },
    access: "principal",
    async handler({ vault, params, parts }) {
      await vault.authorize("step.read", { projectId: params.projectId });
      return await parts.schedules.get(params.projectId, params.scheduleId);
    },
  }),
  defineRoute({
    method: "PUT",
    path: "/v1/projects/:projectId/schedules/:scheduleId",
    operationId: "setSchedule",
    summary: "Give a schedule anew, as a whole",
    tag: "schedules",
    params: scheduleParams,
    body: scheduleInputSchema,
    responses: { 200: scheduleSchema },
    access: "principal",
    async handler({ vault, principal, params, body, parts }) {
      const { projectId, scheduleId } = params;
      const input = await allowedSchedule({ vault, principal, parts }, projectId, body);
      return await parts.schedules.change(projectId, { scheduleId, input });
    },
  }),
  defineRoute({
    method: "DELETE",
    path: "/v1/projects/:projectId/schedules/:scheduleId",
    operationId: "deleteSchedule",
    summary: "Delete a schedule; its runs stay",
    tag: "schedules",
    params: scheduleParams,
    responses: { 204: noContent },
    access: "principal",
    async handler({ vault, params, parts }) {
      await vault.authorize("step.write", { projectId: params.projectId });
      await parts.schedules.delete(params.projectId, params.scheduleId);
    },
  }),
];

async function allowedSchedule(
  { vault, principal, parts }: { vault: Vault; principal: Principal; parts: ApiParts },
  projectId: string,
  body: Omit<ScheduleInput, "job"> & { job: Omit<ScheduleInput["job"], "projectId"> },
): Promise<ScheduleInput> {
  await vault.authorize("step.write", { projectId });
  return { ...body, job: await allowedJob({ vault, principal, parts }, { ...body.job, projectId }) };
}
