/**
 * Steps as the tools that MCP clients see. A tool's name is its step's, in the letters that every client takes; of steps whose
 * names would be the same the oldest has it, and the others' end in a part of their ids. What builders wrote is passed on as
 * plain text. Imports nothing of other folders.
 */
import { plainLine, plainText } from "./plain-text.ts";

/** A published version of a step, as the API shows it. */
export interface PublishedStep {
  readonly id: string;
  readonly version: number;
  readonly name: string;
  readonly description: string | null;
  readonly paramsSchema: Readonly<Record<string, unknown>> | null;
}

export interface StepTool {
  readonly stepId: string;
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly inputSchema: { readonly type: "object"; readonly [key: string]: unknown };
}

export const toolsMax = 500;
export const toolNamePattern = /^[a-zA-Z0-9_-]{1,64}$/;
const nameCharactersMax = 64;
const titleCharactersMax = 200;
const descriptionCharactersMax = 2_000;
const schemaDepthMax = 64;

/** Names that were given to steps. One that was given stays with its step, also while that is not offered. */
export type ToolNames = Map<string, string>;

/** The tools of steps in the order of their ids, which is that of their making; adds their names to those given. */
export function toolsOf(steps: readonly PublishedStep[], names: ToolNames): StepTool[] {
  return steps
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .slice(0, toolsMax)
    .flatMap((step) => toolOf(step, names) ?? []);
}

/** Undefined for a step that cannot be a tool: its params are no object. */
function toolOf({ id, name, description, paramsSchema }: PublishedStep, names: ToolNames): StepTool | undefined {
  const inputSchema = inputSchemaOf(paramsSchema);
  if (inputSchema === undefined) return undefined;
  return {
    stepId: id,
    name: giveName(id, name, names),
    title: plainLine(name, titleCharactersMax),
    description: plainText(description ?? "", descriptionCharactersMax),
    inputSchema,
  };
}

function giveName(stepId: string, stepName: string, names: ToolNames): string {
  const id = stepId.replaceAll("-", "");
  // Two names that differ in case only are one to some clients, and to some readers.
  const fits = (name: string): boolean => (names.get(name.toLowerCase()) ?? stepId) === stepId;
  const slug = stepName
    .normalize("NFKD")
    .replaceAll(/\p{M}/gu, "")
    .replaceAll(/[^a-zA-Z0-9_-]+/g, "_")
    .replaceAll(/^_+|_+$/g, "");
  const ending = (characters: number): string =>
    `${slug.slice(0, nameCharactersMax - characters - 1) || "step"}_${id.slice(-characters)}`;
  const choices = [slug.slice(0, nameCharactersMax), ending(8), ending(32)].filter((name) => name !== "");
  const name = choices.find(fits) ?? ending(32);
  names.set(name.toLowerCase(), stepId);
  return name;
}

/** A step's schema of its params as that of a tool's arguments, which are always an object. */
function inputSchemaOf(schema: PublishedStep["paramsSchema"]): StepTool["inputSchema"] | undefined {
  const { type = "object", ...rest } = schema ?? {};
  const isObject = type === "object" || (Array.isArray(type) && type.includes("object"));
  if (!isObject) return undefined;
  const clean = cleaned(rest, schemaDepthMax);
  return { type: "object", ...(clean as Record<string, unknown> | undefined) };
}

const proseKeys = new Set(["title", "description", "$comment"]);

/** The schema with its prose as plain text; undefined when it is nested too deeply to be shown. */
function cleaned(value: unknown, depthLeft: number): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (depthLeft === 0) return undefined;
  const entries = Object.entries(value).map(([key, part]: [string, unknown]): [string, unknown] => [
    key,
    proseKeys.has(key) && typeof part === "string"
      ? plainText(part, descriptionCharactersMax)
      : cleaned(part, depthLeft - 1),
  ]);
  if (entries.some(([, part]) => part === undefined)) return undefined;
  return Array.isArray(value) ? entries.map(([, part]) => part) : Object.fromEntries(entries);
}
