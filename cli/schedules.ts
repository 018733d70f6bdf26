/** `stepvault schedules`: runs at certain times, by the database or an API. */
import type { Handlers } from "./commands.ts";
import type { Given } from "./given.ts";
import { type ShownSchedule, withProject } from "./project-access.ts";
import { paramsFrom } from "./step-file.ts";
import { pairsOf, print, printDone } from "./vault-options.ts";

const limitDefault = 50;

export const schedulesHandlers: Handlers = {
  async list(given) {
    const limit = given.number("limit") ?? limitDefault;
    print(await withProject(given, async (project) => await project.listSchedules(limit)), {
      json: given.json,
      head: ["id", "state", "cron", "time zone", "next", "last error", "name"],
      cells: ({ id, enabled, cron, timeZone, nextAt, lastErrorCode, name }) => [
        id,
        enabled ? "on" : "off",
        cron,
        timeZone,
        enabled ? nextAt : "",
        lastErrorCode ?? "",
        name,
      ],
    });
  },
  async create(given) {
    const version = given.number("version");
    const job = {
      step: { id: given.required("step"), ...(version !== undefined && { version }) },
      params: paramsFrom(given),
      labels: pairsOf(given, "label"),
    };
    const schedule = {
      name: given.required("NAME"),
      cron: given.required("cron"),
      timeZone: given.text("time-zone") ?? "UTC",
      job,
      enabled: !given.has("disabled"),
    };
    const made = await withProject(given, async (project) => await project.createSchedule(schedule));
    printDone(given, made, { note: `next: ${made.nextAt}`, data: made.id });
  },
  async delete(given) {
    const id = given.required("SCHEDULE");
    await withProject(given, async (project) => await project.deleteSchedule(id));
    printDone(given, { id, deleted: true }, {});
  },
  enable: async (given) => told(given, await switched(given, true)),
  disable: async (given) => told(given, await switched(given, false)),
};

async function switched(given: Given, enabled: boolean): Promise<ShownSchedule> {
  return await withProject(given, async (project) => await project.switchSchedule(given.required("SCHEDULE"), enabled));
}

function told(given: Given, schedule: ShownSchedule): void {
  printDone(given, schedule, { note: schedule.enabled ? `next: ${schedule.nextAt}` : "it is off" });
}
