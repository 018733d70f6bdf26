/** A project by the database of the settings, as the operator: what `Service` does without its worker and its API. */
import type { RunEvent } from "../protocol/job.ts";
import type { RunFilter } from "../runs/find.ts";
import type { Submitter } from "../runs/submit.ts";
import { operator } from "../vault/tenancy/actor.ts";
import { createServiceLog } from "../worker/log.ts";
import { Service } from "../worker/service.ts";
import { readSettings } from "./environment.ts";
import { interruptible, untilAborted } from "./interruption.ts";
import type { ProjectAccess, ScheduleToSave, Shown, ShownSchedule } from "./project-access.ts";

const by: Submitter = { kind: operator.kind, id: operator.id };
const eventsAtOnce = 1_000;
const waitMsMax = 600_000;

export async function withDatabase<T>(projectId: string, work: (project: ProjectAccess) => Promise<T>): Promise<T> {
  const config = readSettings();
  return await interruptible(async (signal) => {
    const service = await Service.open(config, createServiceLog("error"));
    try {
      return await untilAborted(work(accessTo(service, projectId, signal)), signal);
    } finally {
      await service.close({ hurry: AbortSignal.abort() });
    }
  });
}

function accessTo(service: Service, projectId: string, signal: AbortSignal): ProjectAccess {
  const { runs, steps } = service;
  return {
    ...schedulesOf(service, projectId),
    submit: async (job) => await runs.submit({ ...job, projectId }, by),
    async test(stepId, { version, params }) {
      const step = { id: stepId, version: version ?? (await steps.get(projectId, stepId)).version };
      return await runs.submit({ projectId, step, params, labels: { test: "true" } }, by);
    },
    async listRuns({ status, limit, labels, ...filter }) {
      const wanted = status.length === 0 ? undefined : (status as NonNullable<RunFilter["status"]>);
      const page = await runs.list(projectId, {
        filter: { ...filter, status: wanted, labels: Object.entries(labels) },
        limit,
      });
      return page.runs.map(shown);
    },
    getRun: async (runId) => ({ ...shown(await runs.get(projectId, runId)) }),
    async *events(runId, { follow }) {
      if (follow) for await (const page of runs.follow(projectId, runId, { from: 0, signal })) yield* page;
      else yield* eventsSoFar(service, projectId, runId);
    },
    async result(runId) {
      for (;;) {
        const result = await runs.wait(projectId, runId, { timeoutMs: waitMsMax, signal });
        if (result !== undefined) return result;
        signal.throwIfAborted();
      }
    },
    async cancel(runId) {
      await runs.cancel(projectId, runId);
      return shown(await runs.get(projectId, runId));
    },
    output: async (runId) => (await runs.output(projectId, runId)) ?? null,
    saveStep: async (step) => await steps.save({ ...step, projectId }),
    checkStep: async (step, id) => await steps.check({ projectId, step, id }),
    listSteps: async (asked) => (await steps.list(projectId, asked)).map(shown),
    getStep: async (stepId) => shown(await steps.get(projectId, stepId)),
    getVersion: async (stepId, version) => shown(await steps.getVersion(projectId, { stepId, version })),
    publish: async (stepId, version) => shown(await steps.publish({ projectId, stepId, version })),
  };
}

function schedulesOf({ schedules }: Service, projectId: string) {
  const told = (schedule: object): ShownSchedule => shown(schedule) as ShownSchedule;
  return {
    listSchedules: async (limit: number) => (await schedules.list(projectId, { limit })).map(told),
    async createSchedule({ job, ...rest }: ScheduleToSave) {
      return told(await schedules.create(projectId, { input: { ...rest, job: { ...job, projectId } }, by }));
    },
    async switchSchedule(scheduleId: string, enabled: boolean) {
      const { name, cron, timeZone, job } = await schedules.get(projectId, scheduleId);
      return told(await schedules.change(projectId, { scheduleId, input: { name, cron, timeZone, job, enabled } }));
    },
    deleteSchedule: async (scheduleId: string) => await schedules.delete(projectId, scheduleId),
  };
}

async function* eventsSoFar({ runs }: Service, projectId: string, runId: string): AsyncGenerator<RunEvent> {
  for (let from = 0; ;) {
    const events = await runs.events(projectId, runId, { from, limit: eventsAtOnce });
    yield* events;
    const last = events.at(-1);
    if (last === undefined || events.length < eventsAtOnce) return;
    from = last.seq + 1;
  }
}

function shown<T extends object>(thing: T): Shown<T> {
  return JSON.parse(JSON.stringify(thing)) as Shown<T>;
}
