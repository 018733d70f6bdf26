/** Saved steps for whoever may: the vault says who, runs/ has the rows, and the sandbox reads code that is checked. */
import type { Database } from "../database/connection.ts";
import type { Around } from "../database/server.ts";
import { type NewStep, type SavedStep, saveStep } from "../runs/steps.ts";
import {
  getStep,
  getStepVersion,
  listSteps,
  listStepVersions,
  publishStep,
  type Step,
  type StepVersion,
} from "../runs/step-versions.ts";
import { type Actor, operator } from "../vault/tenancy/actor.ts";
import { requireReferences, type StepCheck } from "../vault/secrets/explain.ts";
import type { Vault } from "../vault/vault.ts";
import type { StepToCheck } from "./check-step.ts";

interface StepsParts {
  readonly database: Database;
  readonly vault: Vault;
  readonly check: (step: StepToCheck, author: Actor) => Promise<StepCheck>;
}

type Rest<Function> = Function extends (database: Database, ...rest: infer Rest) => unknown ? Rest : never;

export class Steps {
  #parts: StepsParts;

  constructor(parts: StepsParts) {
    this.#parts = parts;
  }

  async list(...page: Rest<typeof listSteps>): Promise<Step[]> {
    return await listSteps(this.#parts.database, ...page);
  }

  /** Throws ERR_STEP_UNKNOWN. */
  async get(projectId: string, stepId: string): Promise<Step> {
    return await getStep(this.#parts.database, projectId, stepId);
  }

  /** Throws ERR_STEP_UNKNOWN. */
  async listVersions(...page: Rest<typeof listStepVersions>): Promise<StepVersion[]> {
    return await listStepVersions(this.#parts.database, ...page);
  }

  /** Throws ERR_STEP_UNKNOWN. */
  async getVersion(...which: Rest<typeof getStepVersion>): Promise<StepVersion> {
    return await getStepVersion(this.#parts.database, ...which);
  }

  /**
   * Saves a step as the next version of it, or as a new one, for who may; with `checked` only one whose references would
   * resolve; with `publish` it is published by then. Throws ERR_STEP_REFERENCES, what `check` throws, and what `authorize` and
   * `saveStep` of runs/ throw.
   */
  async save(
    { checked = false, publish = false, ...step }: Omit<NewStep, "by"> & { checked?: boolean; publish?: boolean },
    author: Actor = operator,
    around: Around<SavedStep> = async (_, change) => await change(),
  ): Promise<SavedStep> {
    const { vault, database, check } = this.#parts;
    const { projectId } = step;
    await vault.as(author).authorize("step.write", { projectId });
    // Before the transaction: a check takes its time, and connections of its own.
    const found = checked ? await check(step, author) : undefined;
    const by = { kind: author.kind, id: author.id };
    return await saveStep(database, { ...step, by }, async (client, save) => {
      return await around(client, async () => {
        if (found !== undefined) requireReferences(found);
        const saved = await save();
        if (publish) await publishStep(client, projectId, { stepId: saved.id, version: saved.version, by });
        return saved;
      });
    });
  }

  /** Throws ERR_STEP_UNKNOWN, and what `authorize` throws. */
  async publish(
    { projectId, ...which }: { projectId: string; stepId: string; version: number | null },
    author: Actor = operator,
  ): Promise<Step> {
    const { vault, database } = this.#parts;
    await vault.as(author).authorize("step.write", { projectId });
    return await publishStep(database, projectId, { ...which, by: { kind: author.kind, id: author.id } });
  }

  /** Whether a step could run if it was saved now: which of its references to secrets would fail, and why. */
  async check(step: StepToCheck, author: Actor = operator): Promise<StepCheck> {
    return await this.#parts.check(step, author);
  }
}
