/**
 * The outside sources of this deployment: gives the value that a pointer of a project leads to. A pointer is checked again
 * here, wherever it comes from, and everything that is kept is kept under organization, project and the whole pointer, so
 * that no project gets what another one read. That a source is away is bridged with what was read lately; what it answers is
 * final. Knows neither database nor encryption.
 */
import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { Config } from "../../protocol/config.ts";
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import {
  type KvSource,
  parsePointer,
  parseSources,
  pathInSource,
  type SecretPointer,
  type SecretPointerInput,
  type SourceScope,
} from "../../protocol/secret-source.ts";
import { type CallBounds, KvClient } from "./kv-client.ts";
import { SourceCache, type SourceCacheBounds } from "./source-cache.ts";
import { type CircuitBounds, SourceAwayError, SourceCircuit } from "./source-circuit.ts";
import { parseId } from "../tenancy/tenancy.ts";

export type SourceBounds = CallBounds & SourceCacheBounds & CircuitBounds;

const defaultBounds: SourceBounds = {
  connectMsMax: 2_000,
  callMsMax: 5_000,
  ageMsMax: 60_000,
  staleMsMax: 600_000,
  entriesMax: 1_000,
  failuresMax: 3,
  pauseMs: 5_000,
};

export interface SecretSources {
  /**
   * The text that the pointer leads to. The project must be the organization's: nothing here can tell. Throws
   * ERR_SECRET_SOURCE_INVALID, _UNKNOWN, _UNAVAILABLE, _DENIED, _MISSING, ERR_SECRET_VALUE_INVALID, and
   * ERR_ORGANIZATION_UNKNOWN or ERR_PROJECT_UNKNOWN for what is no id.
   */
  read(pointer: SecretPointerInput, scope: SourceScope): Promise<string>;
  /** Whether there is such a source, without asking it. Throws ERR_SECRET_SOURCE_INVALID, ERR_SECRET_SOURCE_UNKNOWN. */
  check(pointer: SecretPointerInput): void;
  /** Zeroes what is kept and ends what is under way. */
  close(): void;
}

interface OpenSource {
  readonly source: KvSource;
  readonly client: KvClient;
  readonly circuit: SourceCircuit;
}

/** The sources in the operator's file; none without one. Throws ERR_CONFIG_INVALID. */
export async function createSources(
  { secretSourcesFile }: Pick<Config, "secretSourcesFile">,
  bounds: Partial<SourceBounds> = {},
): Promise<SecretSources> {
  const all = { ...defaultBounds, ...bounds };
  const listed = secretSourcesFile === undefined ? [] : await readList(secretSourcesFile);
  const opened = await Promise.all(
    listed.map(async (source): Promise<OpenSource> => {
      const ca = source.caFile === undefined ? undefined : await readAuthorities(source.name, source.caFile);
      return { source, client: new KvClient(source, { ca, bounds: all }), circuit: new SourceCircuit(all) };
    }),
  );
  return new Sources(new Map(opened.map((entry) => [entry.source.name, entry])), all);
}

class Sources implements SecretSources {
  readonly #sources: ReadonlyMap<string, OpenSource>;
  readonly #cache: SourceCache;
  /** What is being read: who asks for the same meanwhile waits for the same answer. */
  readonly #flights = new Map<string, Promise<string>>();
  readonly #closing = new AbortController();

  constructor(sources: ReadonlyMap<string, OpenSource>, bounds: SourceCacheBounds) {
    this.#sources = sources;
    this.#cache = new SourceCache(bounds);
  }

  async read(pointer: SecretPointerInput, scope: SourceScope): Promise<string> {
    const parsed = parsePointer(pointer);
    const organizationId = parseId(scope.organizationId, "organization");
    const projectId = parseId(scope.projectId, "project");
    const opened = this.#find(parsed);
    const { source, path, field, version } = parsed;
    const key = JSON.stringify([organizationId, projectId, source, path, field, version ?? null]);
    const fresh = this.#cache.fresh(key);
    if (fresh !== undefined) return fresh;
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      flight = this.#fetch(opened, { pointer: parsed, scope: { organizationId, projectId }, key }).finally(() =>
        this.#flights.delete(key),
      );
      this.#flights.set(key, flight);
    }
    return await flight;
  }

  check(pointer: SecretPointerInput): void {
    this.#find(parsePointer(pointer));
  }

  #find(pointer: SecretPointer): OpenSource {
    const opened = this.#sources.get(pointer.source);
    if (opened !== undefined) return opened;
    throw refusal(pointer, "ERR_SECRET_SOURCE_UNKNOWN", "this deployment has no such source");
  }

  async #fetch(
    { source, client, circuit }: OpenSource,
    { pointer, scope, key }: { pointer: SecretPointer; scope: SourceScope; key: string },
  ): Promise<string> {
    const place = {
      path: pathInSource(source, scope, pointer.path),
      field: pointer.field,
      version: pointer.version,
      refuse: (code: ErrorCode, why: string) => refusal(pointer, code, why),
    };
    try {
      const value = await circuit.run(async () => await client.read(place, this.#closing.signal));
      this.#cache.keep(key, Buffer.from(value, "utf8"));
      return value;
    } catch (error) {
      if (!(error instanceof SourceAwayError)) {
        this.#cache.forget(key);
        throw error;
      }
      const stale = this.#cache.stale(key);
      if (stale !== undefined) return stale;
      throw refusal(pointer, "ERR_SECRET_SOURCE_UNAVAILABLE", error.message);
    }
  }

  close(): void {
    this.#closing.abort();
    this.#cache.close();
  }
}

function refusal({ source, path, version }: SecretPointer, code: ErrorCode, why: string): StepvaultError {
  const which = version === undefined ? path : `version ${version} of ${path}`;
  return new StepvaultError(code, `Cannot read ${which} from the secret source ${source}: ${why}`);
}

async function readList(file: string): Promise<readonly KvSource[]> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw misconfigured(`STEPVAULT_SECRET_SOURCES_FILE gives ${error.code ?? "an error"}`);
  });
  return parseSources(text);
}

async function readAuthorities(name: string, file: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    throw misconfigured(`the caFile of ${name} gives ${error.code ?? "an error"}`);
  });
  // Of a text without any, TLS would make that nobody is trusted, and each read would fail.
  if (isCertificate(text)) return text;
  throw misconfigured(`the caFile of ${name} holds no certificate`);
}

function isCertificate(text: string): boolean {
  try {
    return new X509Certificate(text).raw.length > 0;
  } catch {
    return false;
  }
}

function misconfigured(what: string): StepvaultError {
  return new StepvaultError("ERR_CONFIG_INVALID", `Cannot use the secret sources: ${what}`);
}
