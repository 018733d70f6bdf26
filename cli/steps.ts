/** `stepvault steps`: saved steps, by the database or an API. */
import path from "node:path";
import { cleanText } from "../mcp/plain-text.ts";
import type { Handlers } from "./commands.ts";
import { type Given, UsageError } from "./given.ts";
import { type ProjectAccess, type StepToSave, withProject } from "./project-access.ts";
import { readJson } from "./read-file.ts";
import { showEnd } from "./runs.ts";
import { paramsFrom, stepFrom } from "./step-file.ts";
import { data, dataJson, exitCodes } from "./terminal.ts";
import { print, printDone, printOne } from "./vault-options.ts";

const limitDefault = 50;

export const stepsHandlers: Handlers = {
  async push(given) {
    const [file, checked] = [given.required("FILE"), given.has("checked")];
    const [id, name, description] = [given.text("id"), given.text("name"), given.text("description")];
    const said = { name, description, paramsSchema: schemaOf(given), step: stepFrom(given) };
    const saved = await withProject(given, async (project) => {
      const told = id === undefined ? said : await completed(project, id, said);
      const pushed = await project.saveStep({ id, ...told, name: told.name ?? path.parse(file).name, checked });
      if (given.has("publish")) await project.publish(pushed.id, pushed.version);
      return pushed;
    });
    const published = given.has("publish");
    const done = `version ${saved.version}${published ? ", published" : ""}`;
    printDone(given, { id: saved.id, version: saved.version, published }, { note: done, data: saved.id });
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
      if (given.json) dataJson(found);
      // Exactly, for a file; on a terminal it is to be read.
      else data(process.stdout.isTTY ? cleanText(found.code) : found.code);
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
    if (given.json) dataJson(check);
    else
      print(check.failures, {
        json: false,
        head: ["secret", "line", "code", "why"],
        cells: ({ name, line, code, why }) => [name, String(line ?? ""), code, why],
      });
    return check.failures.length === 0 ? exitCodes.success : exitCodes.user;
  },
};

type Said = Pick<StepToSave, "description" | "paramsSchema" | "step"> & { readonly name: string | undefined };

/** What is not said of a step's next version is what its newest one says: a new text must not open the network, say. */
async function completed(project: ProjectAccess, stepId: string, { step, ...said }: Said): Promise<Said> {
  const newest = await project.getVersion(stepId, (await project.getStep(stepId)).version);
  const { inputs, limits, network, retry } = newest;
  const kept = Object.entries({ inputs, limits, network, retry }).filter(([, value]) => value !== null);
  return {
    name: said.name ?? newest.name,
    description: said.description ?? newest.description ?? undefined,
    paramsSchema: said.paramsSchema ?? newest.paramsSchema ?? undefined,
    step: { ...Object.fromEntries(kept), ...step },
  };
}

function schemaOf(given: Given): Record<string, unknown> | undefined {
  const file = given.text("params-schema");
  if (file === undefined) return undefined;
  const schema = readJson(file, "schema of the params");
  if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return schema;
  throw new UsageError("--params-schema is a file with a JSON object");
}
