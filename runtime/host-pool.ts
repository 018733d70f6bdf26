/**
 * Sandbox hosts started ahead of need, a few per language, each for one run. A host that waits holds nothing of any
 * project, so it may serve whichever run comes next.
 */
import { StepvaultError } from "../protocol/error.ts";
import { type Interpreter, interpreters } from "../protocol/job.ts";
import { HostProcess } from "./host-process.ts";
import type { JavaScriptPackages } from "./javascript-packages.ts";
import { ensureSnapshot } from "./snapshot.ts";

export interface HostPoolOptions {
  readonly cacheDir: string;
  /** Hosts per language that are kept ready. */
  readonly hostsIdleMax: number;
  readonly javascriptPackages?: JavaScriptPackages | undefined;
}

export class HostPool {
  #options: HostPoolOptions;
  #idle = new Map<Interpreter, Promise<HostProcess>[]>(interpreters.map((language) => [language, []]));
  #closed = false;

  constructor(options: HostPoolOptions) {
    this.#options = options;
  }

  /** Starts the idle hosts of both languages and waits for the first of each. */
  async warmUp(): Promise<void> {
    await ensureSnapshot(this.#options.cacheDir);
    for (const language of interpreters) this.#refill(language);
    await Promise.all([...this.#idle.values()].map(async (hosts) => await hosts[0]));
  }

  /** A ready host for one run: an idle one, or a new one. The caller kills it. */
  async take(language: Interpreter): Promise<HostProcess> {
    if (this.#closed)
      throw new StepvaultError("ERR_SANDBOX_START", "Cannot start a sandbox host: the worker is stopping");
    const idle = this.#idle.get(language)?.shift();
    const host = idle === undefined ? await this.#start(language) : await idle;
    this.#refill(language);
    // An idle host may have been killed from outside; one fresh start is the answer, a second failure is the run's.
    return host.exited ? await this.#start(language) : host;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const waiting = [...this.#idle.values()].flat();
    this.#idle.clear();
    const hosts = await Promise.allSettled(waiting);
    for (const host of hosts) if (host.status === "fulfilled") host.value.kill();
  }

  #refill(language: Interpreter): void {
    const idle = this.#idle.get(language);
    if (idle === undefined || this.#closed) return;
    while (idle.length < this.#options.hostsIdleMax) {
      const starting = this.#start(language);
      idle.push(starting);
      // A host that could not start leaves the list; the run that needs one tries again and gets the error.
      starting.catch(() => {
        const at = idle.indexOf(starting);
        if (at >= 0) void idle.splice(at, 1);
      });
    }
  }

  async #start(language: Interpreter): Promise<HostProcess> {
    if (language === "javascript") {
      const { javascriptPackages: packages } = this.#options;
      return await HostProcess.start({
        type: "boot",
        language,
        ...(packages === undefined ? {} : { packages: { folder: packages.folder, packages: [...packages.packages] } }),
      });
    }
    return await HostProcess.start({
      type: "boot",
      language,
      snapshotFile: await ensureSnapshot(this.#options.cacheDir),
    });
  }
}
