/**
 * Pointers to secrets that stay outside, and the list of outside sources that the operator keeps. A builder names a source, a
 * path and a field; which part of a source a project may read is the prefix that the operator wrote, filled with the
 * project's own ids. Paths are of so few characters that none needs decoding or normalizing: what was checked is what is
 * sent. Pure: knows no network, file or cache. Imports nothing of ours beyond this folder.
 */
import { z } from "zod";
import { StepvaultError } from "./error.ts";

const pathCharactersMax = 512;
const pathSegmentsMax = 16;
const fieldCharactersMax = 128;
const issuesShownMax = 10;
/** The largest that Vault's own field for it surely holds. */
const versionMax = 2_147_483_647;

const segmentPattern = /^(?!\.\.?$)[A-Za-z0-9._-]{1,128}$/;
const templateSegmentPattern = /^(?!\.\.?$)(?:[A-Za-z0-9._-]|\{organizationId\}|\{projectId\}){1,128}$/;

const segmentsRule = `1 to ${pathSegmentsMax} segments of letters, digits and . _ -, with / between them, none of them . or ..`;

function isPath(text: string, pattern: RegExp): boolean {
  const segments = text.split("/");
  return segments.length <= pathSegmentsMax && segments.every((segment) => pattern.test(segment));
}

const pathSchema = z
  .string()
  .max(pathCharactersMax)
  .refine((text) => isPath(text, segmentPattern), segmentsRule);

const sourceNameSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a letter or digit, then letters, digits and . _ -; at most 64");

/** Where in a source a value is, as a builder writes it. */
export const secretPointerSchema = z.strictObject({
  source: sourceNameSchema,
  /** Below what the operator gave the project; never starts or ends with a slash. */
  path: pathSchema,
  field: z.string().regex(new RegExp(`^[\\x20-\\x7e]{1,${fieldCharactersMax}}$`), "1 to 128 characters of ASCII"),
  /** Without one, the newest. */
  version: z.int().min(1).max(versionMax).optional(),
});
export type SecretPointer = z.infer<typeof secretPointerSchema>;
/** A pointer as somebody writes it. */
export type SecretPointerInput = z.input<typeof secretPointerSchema>;

/** Whose secrets are read. */
export interface SourceScope {
  readonly organizationId: string;
  readonly projectId: string;
}

const loopbackPattern = /^(localhost|127\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[::1\])$/;

/** Scheme, host and port, and nothing more; without encryption to this machine only. */
function isAddress(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || !/^https?:\/\/[^/?#@\\\s]+\/?$/i.test(text)) return false;
  return url.protocol === "https:" || loopbackPattern.test(url.hostname);
}

const kvSourceSchema = z
  .strictObject({
    name: sourceNameSchema,
    type: z.literal("kv2"),
    address: z
      .string()
      .refine(isAddress, "https://HOST[:PORT], or http:// to this machine")
      .transform((text) => new URL(text).origin),
    mount: pathSchema,
    namespace: pathSchema.optional(),
    /** Read at each call, so that an agent may renew the token. */
    tokenFile: z.string().min(1),
    /** What a project may read is below this. Empty: all of the mount, for a shared source only. */
    prefix: z
      .string()
      .max(pathCharactersMax)
      .refine(
        (text) => text === "" || isPath(text, templateSegmentPattern),
        `${segmentsRule}, and {organizationId} and {projectId} within them`,
      ),
    /** All projects read the same part. */
    shared: z.boolean().default(false),
    /** PEM file of the certificate authorities that are trusted for this source, and no others. */
    caFile: z.string().min(1).optional(),
  })
  .refine(({ prefix, shared }) => (shareOf(prefix) === "everybody") === shared, {
    path: ["prefix"],
    message: `must hold {organizationId} or {projectId}, or say "shared": true and hold neither`,
  })
  .refine(({ address, caFile }) => caFile === undefined || address.startsWith("https:"), {
    path: ["caFile"],
    message: "is for https only",
  });
export type KvSource = z.infer<typeof kvSourceSchema>;

const secretSourcesSchema = z
  .strictObject({ sources: z.array(kvSourceSchema).max(100) })
  .superRefine(({ sources }, context) => {
    sources.forEach((source, index) => {
      const others = sources.slice(0, index);
      if (others.some(({ name }) => name === source.name)) {
        context.addIssue({ code: "custom", path: ["sources", index, "name"], message: "another source has this name" });
      }
      if (others.some((other) => reaches(other, source) || reaches(source, other))) {
        const message = "one of two sources is for more projects and holds all of the other";
        context.addIssue({ code: "custom", path: ["sources", index, "prefix"], message });
      }
    });
  });

/** A pointer as somebody wrote it. Throws ERR_SECRET_SOURCE_INVALID. */
export function parsePointer(pointer: unknown): SecretPointer {
  const parsed = secretPointerSchema.safeParse(pointer);
  if (parsed.success) return parsed.data;
  throw new StepvaultError(
    "ERR_SECRET_SOURCE_INVALID",
    `Cannot use the pointer to a secret source: ${rulesOf(parsed.error)}`,
  );
}

/** The sources in the text of the operator's file. Throws ERR_CONFIG_INVALID. */
export function parseSources(text: string): readonly KvSource[] {
  const parsed = secretSourcesSchema.safeParse(parseJson(text));
  if (parsed.success) return parsed.data.sources;
  throw new StepvaultError(
    "ERR_CONFIG_INVALID",
    `Cannot use the secret sources: STEPVAULT_SECRET_SOURCES_FILE is wrong: ${rulesOf(parsed.error)}`,
  );
}

/** Undefined for what is no JSON: the parser's own words repeat some of it. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Places and rules, and nothing that somebody wrote: it may be a key. */
function rulesOf({ issues }: z.core.$ZodError): string {
  const rules = issues.slice(0, issuesShownMax).map((issue) => {
    const place = issue.path.length === 0 ? "the whole" : issue.path.join(".");
    // The schema's own message names the keys.
    if (issue.code === "unrecognized_keys") return `${place} has ${issue.keys.length} unknown key(s)`;
    return `${place}: ${issue.message}`;
  });
  return rules.join("; ");
}

const shares = ["everybody", "organization", "project"] as const;

/** Who reads the same part of a source. */
function shareOf(prefix: string): (typeof shares)[number] {
  if (prefix.includes("{projectId}")) return "project";
  return prefix.includes("{organizationId}") ? "organization" : "everybody";
}

/** Whether who uses the first source could read there, by a longer path, what the second keeps apart. */
function reaches(wide: KvSource, narrow: KvSource): boolean {
  if (wide.address !== narrow.address) return false;
  if (shares.indexOf(shareOf(wide.prefix)) >= shares.indexOf(shareOf(narrow.prefix))) return false;
  return rootOf(narrow).startsWith(rootOf(wide));
}

/** A namespace in front of the mount is the same place as one in the header. */
function rootOf({ namespace, mount, prefix }: KvSource): string {
  return `${joinPaths(namespace ?? "", mount, "data", prefix)}/`;
}

/** Where in a source's mount a pointer of a project leads. The ids must be checked ones. */
export function pathInSource({ prefix }: Pick<KvSource, "prefix">, scope: SourceScope, path: string): string {
  const filled = prefix
    .replaceAll("{organizationId}", () => scope.organizationId)
    .replaceAll("{projectId}", () => scope.projectId);
  return joinPaths(filled, path);
}

function joinPaths(...paths: readonly string[]): string {
  return paths.filter((path) => path !== "").join("/");
}
