/**
 * A step and its params as commands are given them: a file of code with options. Holds no rule of steps: what they may be is
 * decided by the schema of jobs, so that every command and the API refuse the same things.
 */
import { StepvaultError } from "../protocol/error.ts";
import type { Json, Language, StepInput } from "../protocol/job.ts";
import { portOf } from "../protocol/network.ts";
import { parseExactJson, RoundedNumber } from "./exact-json.ts";
import { type Given, UsageError } from "./given.ts";
import { readJson, readText } from "./read-file.ts";

/** Throws ERR_FILE_UNREADABLE, UsageError. */
export function paramsFrom(given: Given): Json {
  const file = given.text("params-file");
  const params = file === undefined ? {} : readJson(file, "params file", parseExactJson);
  const fields = given.texts("param").map(parseParam);
  if (fields.length === 0) return params;
  if (typeof params !== "object" || params === null || Array.isArray(params))
    throw new UsageError("--param adds a field, and the params file holds no object");
  return { ...params, ...Object.fromEntries(fields) };
}

/** The code in FILE with --limit and --network. Throws ERR_FILE_UNREADABLE, ERR_LANGUAGE_UNKNOWN, UsageError. */
export function stepFrom(given: Given): StepInput {
  const file = given.required("FILE");
  const [network, limits] = [networkOf("--network", given.texts("network")), given.texts("limit")];
  return {
    language: languageOf(file),
    code: readText(file, "step"),
    ...(limits.length > 0 && { limits: Object.fromEntries(limits.map(parseLimit)) }),
    ...(network !== undefined && { network }),
  };
}

/** `none` or `open`, or rules. Beside a rule these words would be names of hosts. Throws UsageError. */
export function networkOf(what: string, words: readonly string[]): StepInput["network"] {
  const whole = words.find((word) => word === "none" || word === "open");
  if (whole === undefined) return words.length === 0 ? undefined : [...words];
  if (words.length === 1) return whole;
  throw new UsageError(`${what} is none or open alone, or else rules such as "GET api.example.com"`);
}

/** Private addresses that a step may reach, spelled as a URL has them. Throws UsageError. */
export function openFrom(given: Given): string[] {
  return given.texts("open").map((text) => {
    const url = /^[^\s/?#@*,]+:\d+$/.test(text) ? URL.parse(`http://${text}`) : null;
    if (url === null || portOf(url) === 0) throw new UsageError("--open is HOST:PORT, such as 127.0.0.1:8080");
    return `${url.hostname}:${portOf(url)}`;
  });
}

function languageOf(file: string): Language {
  if (file.endsWith(".py")) return "python";
  if (/\.m?js$/.test(file)) return "javascript";
  if (/\.m?ts$/.test(file)) return "typescript";
  throw new StepvaultError("ERR_LANGUAGE_UNKNOWN", "Cannot run the file: its name ends neither in .js, .ts nor .py");
}

function parseParam(text: string): [string, Json] {
  const at = text.indexOf("=");
  const value = text.slice(at + 1);
  const name = at < 0 ? text : text.slice(0, at);
  try {
    return [name, at < 0 ? true : parseExactJson(value)];
  } catch (error) {
    if (error instanceof RoundedNumber)
      throw new UsageError(`--param cannot be taken: ${error.message}, as in --param 'NAME="…"'`);
    return [name, value];
  }
}

function parseLimit(text: string): [string, number] {
  const [name = "", value = ""] = text.split("=", 2);
  return [name, Number(value)];
}
