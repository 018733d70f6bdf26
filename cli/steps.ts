/** `stepvault steps`: saved steps, by the database or an API. */
import path from "node:path";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { withProject } from "./project-access.ts";
import { readJson } from "./read-file.ts";
import { showEnd } from "./runs.ts";
import { paramsFrom, stepFrom } from "./step-file.ts";
import { data, exitCodes } from "./terminal.ts";
import { print, printDone, printOne } from "./vault-options.ts";

const limitDefault = 50;

export const stepsHandlers: Handlers = {
  async push(given) {
    const file = given.required("FILE");
    const step = {
      id: given.text("id"),
      name: given.text("name") ?? path.parse(file).name,
      description: given.text("description"),
      paramsSchema: schemaOf(given),
      step: stepFrom(given),
      checked: given.has("checked"),
    };
    const saved = await withProject(given, async (project) => {
      const pushed = await project.saveStep(step);
      if (given.has("publish")) await project.publish(pushed.id, pushed.version);
      return pushed;
    });
    const { id, version } = saved;
    const published = given.has("publish");
    const said = `version ${version}${published ? ", published" : ""}`;
    printDone(given, { id, version, published }, { note: said, data: id });
  },
  async list(given) {
    const asked = { published: given.has("published") || undefined, limit: given.number("limit") ?? limitDefault };
    print(await withProject(given, async (project) => await project.listSteps(asked)), {
      json: given.json,
      head: ["id", "version", "published", "language", "updated", "name"],
      cells: ({ id, version, publishedVersion, language, updatedAt, name }) => [
        id,
        String(version),
        String(publishedVersion ?? "-"),
        language,
        updatedAt,
        name,
      ],
    });
  },
  async show(given) {
    const [stepId, version] = [given.required("STEP"), given.number("version")];
    await withProject(given, async (project) => {
      if (version === undefined) return printOne(await project.getStep(stepId), given);
      const found = await project.getVersion(stepId, version);
      data(given.json ? `${JSON.stringify(found)}\n` : found.code);
    });
  },
  async publish(given) {
    const text = given.required("VERSION");
    if (text !== "none" && !/^[1-9]\d{0,8}$/.test(text)) throw new UsageError("VERSION is a number, or none");
    const version = text === "none" ? null : Number(text);
    const step = await withProject(given, async (project) => await project.publish(given.required("STEP"), version));
    printDone(given, step, { note: version === null ? "no version is published" : `version ${version} is published` });
  },
  async test(given) {
    const options = { version: given.number("version"), params: paramsFrom(given) };
    return await showEnd(given, async (project) => (await project.test(given.required("STEP"), options)).runId);
  },
  async check(given) {
    const step = stepFrom(given);
    const check = await withProject(given, async (project) => await project.checkStep(step, given.text("id")));
    if (given.json) data(`${JSON.stringify(check)}\n`);
    else
      print(check.failures, {
        json: false,
        head: ["secret", "line", "code", "why"],
        cells: ({ name, line, code, why }) => [name, String(line ?? ""), code, why],
      });
    return check.failures.length === 0 ? exitCodes.success : exitCodes.user;
  },
};

function schemaOf(given: Given): Record<string, unknown> | undefined {
  const file = given.text("params-schema");
  if (file === undefined) return undefined;
  const schema = readJson(file, "schema of the params");
  if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return schema;
  throw new UsageError("--params-schema is a file with a JSON object");
}
