/**
 * What the API is put together from: whoever starts it hands it a vault, a database and ways to ask who calls and whether
 * everything is there. The API itself opens nothing but its port.
 */
import type { FastifyInstance } from "fastify";
import type { Logger } from "pino";
import type { Around, Queryable, Transactional } from "../database/server.ts";
import type { Config } from "../protocol/config.ts";
import type { StepInput } from "../protocol/job.ts";
import type { Runs } from "../runs/runs.ts";
import type { Schedules } from "../runs/schedules.ts";
import type { Step, StepVersion } from "../runs/step-versions.ts";
import type { SavedStep } from "../runs/steps.ts";
import type { Actor } from "../vault/tenancy/actor.ts";
import type { StepCheck } from "../vault/secrets/explain.ts";
import type { Vault } from "../vault/vault.ts";
import type { Principal } from "./principal.ts";
import type { RequestHead } from "./principals/request-head.ts";
import type { Metrics } from "./metrics.ts";
import type { Route } from "./route.ts";

/** Whether a part of the service is there. The reason is for operators: our own words, never an error's text. */
export interface PartState {
  readonly ok: boolean;
  readonly reason?: string | undefined;
}

/** Saved steps. Reading asks nobody's permission; what changes or checks something does. */
export interface ApiSteps {
  list(
    projectId: string,
    page: { after?: string | undefined; published?: boolean | undefined; limit: number },
  ): Promise<Step[]>;
  get(projectId: string, stepId: string): Promise<Step>;
  listVersions(
    projectId: string,
    page: { stepId: string; before?: number | undefined; limit: number },
  ): Promise<StepVersion[]>;
  getVersion(projectId: string, which: { stepId: string; version: number }): Promise<StepVersion>;
  save(
    step: {
      projectId: string;
      id?: string | undefined;
      name: string;
      description?: string | undefined;
      paramsSchema?: Record<string, unknown> | undefined;
      step: StepInput;
      checked: boolean;
      publish: boolean;
    },
    author: Actor,
    around: Around<SavedStep>,
  ): Promise<SavedStep>;
  publish(which: { projectId: string; stepId: string; version: number | null }, author: Actor): Promise<Step>;
  check(step: { projectId: string; id?: string | undefined; step: StepInput }, author: Actor): Promise<StepCheck>;
}

export interface ApiParts {
  readonly config: Pick<Config, "api">;
  /** As the operator; a route gets it as whoever asks. */
  readonly vault: Vault;
  readonly database: Queryable & Transactional;
  readonly runs: Runs;
  readonly steps: ApiSteps;
  readonly schedules: Schedules;
  readonly log: Pick<Logger, "info" | "warn" | "error">;
  readonly authenticate: (head: RequestHead) => Promise<Principal>;
  readonly readiness: () => Promise<Readonly<Record<string, PartState>>>;
  readonly routes: readonly Route[];
  /** Others register what they count here; the API makes its own when there is none. */
  readonly metrics?: Metrics | undefined;
}

export interface Api {
  readonly app: FastifyInstance;
  /** Listens and gives the address, `http://host:port`. Throws when the port is taken. */
  listen(): Promise<string>;
  /** Takes no more requests, gives those under way a few seconds, and ends streams. Later calls wait for the first. */
  close(): Promise<void>;
}
