/**
 * A project with a pointer, and a local server that speaks KV version 2 with the value that it leads to, for the tests of
 * outside sources. `useKvWorld()` makes it anew for each test of a file.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterEach, beforeEach, expect } from "vitest";
import type { StepvaultError } from "../../../protocol/error.ts";
import { createId } from "../../../protocol/ids.ts";
import type { SourceScope } from "../../../protocol/secret-source.ts";
import { createSources, type SecretSources, type SourceBounds } from "../../../vault/sources/kv-source.ts";
import { type Kv2Server, startKv2 } from "../../helpers/kv2.ts";

export const scope: SourceScope = { organizationId: createId(), projectId: createId() };
export const sibling: SourceScope = { organizationId: scope.organizationId, projectId: createId() };
export const pointer = { source: "corp", path: "team/stripe", field: "api_key" };
export const value = "sk_live_the_value";

export interface KvWorld {
  folder: string;
  kv: Kv2Server;
  /** Closed after the test. */
  readonly opened: { close(): unknown }[];
  /** The sources of a list with one, as it is here or changed. */
  open(source?: object, bounds?: Partial<SourceBounds>): Promise<SecretSources>;
  /** The error of a read, which says no secret in any of its parts. */
  failure(sources: SecretSources, change?: object, where?: SourceScope): Promise<StepvaultError>;
}

export function useKvWorld(): KvWorld {
  const world: KvWorld = { folder: "", kv: undefined as unknown as Kv2Server, opened: [], open, failure };

  beforeEach(async () => {
    world.folder = await mkdtemp(join(tmpdir(), "stepvault-test-"));
    world.kv = await startKv2();
    await writeFile(join(world.folder, "token"), `${world.kv.token}\n`);
    world.kv.put(placeOf(scope), { api_key: value, other: "another value" });
  });

  afterEach(async () => {
    await Promise.all(world.opened.splice(0).map(async (each) => await each.close()));
    await world.kv.close();
    await rm(world.folder, { recursive: true, force: true });
  });

  return world;

  async function open(source: object = {}, bounds: Partial<SourceBounds> = {}): Promise<SecretSources> {
    const secretSourcesFile = join(world.folder, "sources.json");
    const entry = {
      name: "corp",
      type: "kv2",
      address: world.kv.address,
      mount: "secret",
      tokenFile: join(world.folder, "token"),
      prefix: "stepvault/{organizationId}/{projectId}",
      ...source,
    };
    await writeFile(secretSourcesFile, JSON.stringify({ sources: [entry] }));
    const sources = await createSources({ secretSourcesFile }, { callMsMax: 1_000, connectMsMax: 1_000, ...bounds });
    world.opened.push(sources);
    return sources;
  }

  async function failure(sources: SecretSources, change: object = {}, where = scope): Promise<StepvaultError> {
    const error = await sources.read({ ...pointer, ...change }, where).then(
      () => new Error("it was read"),
      (reason: unknown) => reason as StepvaultError,
    );
    const text = inspect(error, { depth: 9, showHidden: true });
    for (const secret of [world.kv.token, value, "another value", "leaked"]) expect(text).not.toContain(secret);
    return error as StepvaultError;
  }
}

export function placeOf({ organizationId, projectId }: SourceScope, path = pointer.path): string {
  return `secret/data/stepvault/${organizationId}/${projectId}/${path}`;
}
