/**
 * Sets of secrets as text, for import, export and the command line: `.env` lines and JSON, read and written. What is written is
 * read back exactly; what cannot be is refused. All faults are told at once, and a text with a fault gives nothing that may be
 * used. Pure: reads no file and no table, so whoever has the entries decides what becomes of them.
 */
import { StepvaultError } from "../../protocol/error.ts";
import { secretNameSchema, secretValueBytesMax } from "../../protocol/secret.ts";
import { readablePolicy, type SecretPolicy } from "../../protocol/secret-policy.ts";
import { checkFit, parsePolicy, policyText } from "./policies.ts";
import { formatEnvLine, readEnvText } from "./secrets-text-env.ts";
import { type SecretsFault, throwSecretsFaults, type WrittenEntry } from "./secrets-text-faults.ts";
import { formatJsonText, readJsonText } from "./secrets-text-json.ts";

export type SecretsFormat = "env" | "json";

/** A secret as it stands in a text. What the text does not say is undefined. */
export interface SecretsTextEntry {
  readonly name: string;
  readonly value: string;
  readonly policy?: SecretPolicy | undefined;
  readonly description?: string | undefined;
  readonly tags?: readonly string[] | undefined;
}

export const secretsTextBytesMax = 4 * 1024 * 1024;
const secretsTextEntriesMax = 1_000;
/** More text than any policy needs; the schema would list each of a million wrong hosts. */
const fieldsCharactersMax = 65_536;

/**
 * The entries that are as they should be, each with its line or entry for whatever is said about it later, and everything
 * that is wrong; use none of the entries when something is. Without a format a text that begins with a brace is JSON.
 */
export function parseSecretsText(
  input: string,
  { format }: { format?: SecretsFormat | undefined } = {},
): { entries: (SecretsTextEntry & { place: string })[]; faults: SecretsFault[] } {
  const bytes = Buffer.byteLength(input);
  if (bytes > secretsTextBytesMax) return { entries: [], faults: [tooLarge(bytes)] };
  const text = input.startsWith("\uFEFF") ? input.slice(1) : input;
  const found = format ?? (text.trimStart().startsWith("{") ? "json" : "env");
  const { written, faults } = (found === "json" ? readJsonText : readEnvText)(text, secretsTextEntriesMax);
  const checked = checkEntries(written);
  const all = [...faults, ...checked.faults].sort(byPlace);
  const wrong = new Set(all.map(({ place }) => place));
  return { entries: checked.entries.filter(({ place }) => !wrong.has(place)), faults: all };
}

/**
 * The text of the entries, in their order. `.env` lines hold names and values only: descriptions and tags are left out, and a
 * policy that is not everybody's is refused, as it would be lost. Throws ERR_SECRETS_TEXT_INVALID, or the code of the one
 * entry that no text can hold.
 */
export function formatSecretsText(entries: readonly SecretsTextEntry[], format: SecretsFormat): string {
  const written = entries.map(({ name, value, policy, description, tags }, i) => {
    return { name, value, place: `entry ${i + 1}`, fields: { ...policy, description, tags } };
  });
  const { faults } = checkEntries(written);
  if (entries.length > secretsTextEntriesMax)
    faults.push(textFault("text", `it has ${entries.length} entries; ${secretsTextEntriesMax} are allowed`));
  if (format === "env") faults.push(...written.flatMap(({ place }, i) => policyFault(entries[i]?.policy, place)));
  throwSecretsFaults(faults, "write the secrets");
  const text = format === "json" ? formatJsonText(written) : written.map((entry) => formatEnvLine(entry)).join("");
  const bytes = Buffer.byteLength(text);
  if (bytes > secretsTextBytesMax) throwSecretsFaults([tooLarge(bytes)], "write the secrets");
  return text;
}

function tooLarge(bytes: number): SecretsFault {
  return textFault("text", `it has ${bytes} bytes; ${secretsTextBytesMax} are allowed`);
}

function textFault(place: string, rule: string): SecretsFault {
  return { place, code: "ERR_SECRETS_TEXT_INVALID", rule };
}

function policyFault(policy: SecretPolicy | undefined, place: string): SecretsFault[] {
  if (policy === undefined || policyText(policy) === policyText(readablePolicy)) return [];
  return [{ place, code: "ERR_SECRET_POLICY_INVALID", rule: "its policy does not fit into .env lines; write JSON" }];
}

function byPlace(a: SecretsFault, b: SecretsFault): number {
  return numberOf(a.place) - numberOf(b.place);
}

function numberOf(place: string): number {
  return Number(place.split(" ")[1] ?? 0);
}

function checkEntries(written: readonly WrittenEntry[]): {
  entries: (SecretsTextEntry & { place: string })[];
  faults: SecretsFault[];
} {
  const faults: SecretsFault[] = [];
  const entries = written.map((entry) => {
    faults.push(...checkName(entry.name, entry.place), ...checkValue(entry.value, entry.place));
    return { name: entry.name, value: entry.value, place: entry.place, ...checkFields(entry, faults) };
  });
  faults.push(...repeatedNames(written));
  return { entries, faults };
}

function checkName(name: string, place: string): SecretsFault[] {
  const parsed = secretNameSchema.safeParse(name);
  if (parsed.success) return [];
  const rule = `its name of ${Array.from(name).length} characters is not ${parsed.error.issues[0]?.message ?? "valid"}`;
  return [{ place, code: "ERR_SECRET_NAME_INVALID", rule }];
}

function checkValue(value: string, place: string): SecretsFault[] {
  const bytes = Buffer.byteLength(value);
  const code = "ERR_SECRET_VALUE_INVALID";
  if (bytes === 0 || bytes > secretValueBytesMax)
    return [{ place, code, rule: `its value has ${bytes} bytes; 1 to ${secretValueBytesMax} are allowed` }];
  return value.isWellFormed() ? [] : [{ place, code, rule: "its value is not Unicode text" }];
}

/** The vault's own rule: names that differ in case only are one. */
function repeatedNames(written: readonly WrittenEntry[]): SecretsFault[] {
  const first = new Map<string, WrittenEntry>();
  return written.flatMap((entry) => {
    const { name, place } = entry;
    const before = first.get(name.toLowerCase());
    if (before === undefined) {
      if (secretNameSchema.safeParse(name).success) first.set(name.toLowerCase(), entry);
      return [];
    }
    const same = before.name === name ? "is that of" : "differs in case only from that of";
    return [textFault(place, `its name ${same} ${before.place}`)];
  });
}

function checkFields(
  { fields, value, place }: WrittenEntry,
  faults: SecretsFault[],
): Pick<SecretsTextEntry, "policy" | "description" | "tags"> {
  const { description, tags, ...rest } = fields;
  const told = (rule: string): number => faults.push({ place, code: "ERR_SECRET_METADATA_INVALID", rule });
  if (description !== undefined && typeof description !== "string") told("its description is no text");
  if (tags !== undefined && !(Array.isArray(tags) && tags.every((tag) => typeof tag === "string")))
    told("its tags are no list of texts");
  return {
    policy: checkPolicy({ rest, value, place }, faults),
    description: description as string | undefined,
    tags: tags as string[] | undefined,
  };
}

function checkPolicy(
  { rest, value, place }: { rest: Record<string, unknown>; value: string; place: string },
  faults: SecretsFault[],
): SecretPolicy | undefined {
  if (Object.values(rest).every((field) => field === undefined)) return undefined;
  const characters = JSON.stringify(rest).length;
  const code = "ERR_SECRET_POLICY_INVALID";
  if (characters > fieldsCharactersMax) {
    faults.push({ place, code, rule: `its policy has ${characters} characters; ${fieldsCharactersMax} are allowed` });
    return undefined;
  }
  const action = "read it";
  try {
    const policy = parsePolicy(rest, action);
    checkFit(value, policy, action);
    return policy;
  } catch (error) {
    if (!(error instanceof StepvaultError)) throw error;
    faults.push({ place, code: error.code, rule: error.message.replace(`Cannot ${action}: `, "") });
    return undefined;
  }
}
