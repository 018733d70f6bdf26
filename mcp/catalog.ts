/**
 * The tools that are offered now: the project's published steps, looked at again every few seconds. While the API is away the
 * last ones stay; when it refuses the key there are none. A version never changes, so each is read once.
 */
import type { Client } from "../client/client.ts";
import { failureOf, isRefusal } from "./failure.ts";
import { type PublishedStep, type StepTool, type ToolNames, toolsMax, toolsOf } from "./tools.ts";

const readsAtOnceMax = 4;

export interface CatalogOptions {
  readonly refreshMs: number;
  /** Told when the tools are others than before. */
  readonly onChange: () => void;
  /** A line for whoever looks after this process. */
  readonly note: (line: string) => void;
}

export class Catalog {
  #client: Client;
  #options: CatalogOptions;
  #tools: readonly StepTool[] = [];
  #versions = new Map<string, PublishedStep>();
  #names: ToolNames = new Map();
  #shown = "";
  #timer: NodeJS.Timeout | undefined;
  #underWay: Promise<void> | undefined;
  #lastNotes = new Set<string>();
  #closed = false;

  constructor(client: Client, options: CatalogOptions) {
    this.#client = client;
    this.#options = options;
  }

  get tools(): readonly StepTool[] {
    return this.#tools;
  }

  find(name: string): StepTool | undefined {
    return this.#tools.find((tool) => tool.name === name);
  }

  /** Reads the tools for the first time and then again and again. Throws what the first requests throw. */
  async start(): Promise<void> {
    this.#set(await this.#read());
    this.#plan();
  }

  /** Looks now. Never rejects. */
  async refresh(): Promise<void> {
    this.#underWay ??= this.#look().finally(() => {
      this.#underWay = undefined;
    });
    await this.#underWay;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #plan(): void {
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.refresh().then(() => this.#plan()), this.#options.refreshMs);
  }

  async #look(): Promise<void> {
    try {
      this.#set(await this.#read());
    } catch (error) {
      const { code, message } = failureOf(error);
      this.#note([`Cannot look at the project's steps: ${code}: ${message}`]);
      if (isRefusal(error)) this.#set([]);
    }
  }

  async #read(): Promise<StepTool[]> {
    const listed: { id: string; version: number }[] = [];
    // A list has the texts of the newest version, which may be a draft: those that were published are read by themselves.
    for await (const { id, publishedVersion } of this.#client.steps.list({ published: "true", limit: toolsMax + 1 }))
      if (publishedVersion !== null) listed.push({ id, version: publishedVersion });
    const more = listed.length > toolsMax;
    listed.splice(toolsMax);
    const steps: PublishedStep[] = [];
    for (let at = 0; at < listed.length; at += readsAtOnceMax) {
      const some = listed.slice(at, at + readsAtOnceMax);
      steps.push(...(await Promise.all(some.map(async (step) => await this.#version(step)))));
    }
    this.#versions = new Map(steps.map((step) => [keyOf(step), step]));
    const tools = toolsOf(steps, this.#names);
    const unfit = steps.length - tools.length;
    this.#note([
      ...(more ? [`The project has more published steps than the ${toolsMax} that are offered`] : []),
      ...(unfit > 0 ? [`${unfit} published step(s) are no tools: their params are no object`] : []),
    ]);
    return tools;
  }

  async #version({ id, version }: { id: string; version: number }): Promise<PublishedStep> {
    const known = this.#versions.get(keyOf({ id, version }));
    if (known !== undefined) return known;
    const { name, description, paramsSchema } = await this.#client.steps.version(id, version);
    return { id, version, name, description, paramsSchema };
  }

  #set(tools: readonly StepTool[]): void {
    const shown = JSON.stringify(tools);
    if (shown === this.#shown || this.#closed) return;
    this.#shown = shown;
    this.#tools = tools;
    this.#options.onChange();
  }

  /** What was not said at the last look. */
  #note(lines: readonly string[]): void {
    for (const line of lines) if (!this.#lastNotes.has(line)) this.#options.note(line);
    this.#lastNotes = new Set(lines);
  }
}

function keyOf({ id, version }: { id: string; version: number }): string {
  return `${id} ${version}`;
}
