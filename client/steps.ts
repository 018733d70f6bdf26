/** `client.steps`: saved steps and their versions. Each method is a call of one operation, and throws what a request throws. */
import type { Operations, SavedStep, Step, StepCheck, StepInput, StepVersion, SubmittedRun } from "./api-types.ts";
import type { Caller, CallOptions } from "./caller.ts";

export type StepFilter = Operations["listSteps"]["query"];
export type StepCode = StepInput["step"];
export type StepTestOptions = CallOptions & {
  /** The newest, if none is named. */
  readonly version?: number;
  readonly params?: unknown;
};

export class Steps {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  /** Saves a step, as its first version. */
  async create(step: StepInput, options: CallOptions = {}): Promise<SavedStep> {
    return await this.#caller.call("createStep", { ...options, body: step });
  }

  async createVersion(stepId: string, step: StepInput, options: CallOptions = {}): Promise<SavedStep> {
    return await this.#caller.call("createStepVersion", { ...options, stepId, body: step });
  }

  async get(stepId: string, options: CallOptions = {}): Promise<Step> {
    return await this.#caller.call("getStep", { ...options, stepId });
  }

  /** The project's steps, oldest first, page after page; `limit` is the most that are wanted. */
  list(filter: StepFilter = {}, options: CallOptions = {}): AsyncGenerator<Step, void> {
    return this.#caller.list("listSteps", { ...options, query: filter });
  }

  /** A step's versions with their code, the newest first. */
  versions(stepId: string, options: CallOptions & { limit?: number } = {}): AsyncGenerator<StepVersion, void> {
    const { limit, ...more } = options;
    return this.#caller.list("listStepVersions", { ...more, stepId, query: { limit } });
  }

  async version(stepId: string, version: number, options: CallOptions = {}): Promise<StepVersion> {
    return await this.#caller.call("getStepVersion", { ...options, stepId, version });
  }

  /** Chooses the version that runs when none is named; with null none is published any more. */
  async publish(stepId: string, version: number | null, options: CallOptions = {}): Promise<Step> {
    return await this.#caller.call("publishStep", { ...options, stepId, body: { version } });
  }

  /** Runs a version, published or not. The run's end comes from `runs.wait`. */
  async test(stepId: string, { version, params, ...options }: StepTestOptions = {}): Promise<SubmittedRun> {
    return await this.#caller.call("testStep", { ...options, stepId, body: { version, params } });
  }

  /** Which references to secrets would fail, and why, before a step is saved. Nothing runs. */
  async check(step: StepCode, options: CallOptions & { stepId?: string } = {}): Promise<StepCheck> {
    const { stepId, ...more } = options;
    return await this.#caller.call("checkStep", { ...more, body: { step, id: stepId } });
  }
}
