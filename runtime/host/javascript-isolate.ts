/**
 * Isolates with the guest's code in them, made ahead of the run that will use one: creating and installing takes
 * milliseconds that a run need not wait for. The guest's script is compiled once per process and cached after that. An
 * isolate's memory limit is fixed when it is made, so a run with another limit than the default gets a fresh one.
 */
import ivm from "isolated-vm";
import { limitTable } from "../../protocol/limits.ts";
import { bundleGuest } from "./guest-bundle.ts";

const MiB = 1024 * 1024;

export interface ReadyIsolate {
  readonly isolate: ivm.Isolate;
  readonly context: ivm.Context;
  /** The guest's functions, by name. */
  readonly guest: Readonly<Record<GuestFunction, ivm.Reference>>;
  /** Sets who answers the guest's calls. Until then the guest makes none. */
  connect(answer: (text: string) => Promise<string>): void;
}

const guestFunctions = ["receive", "run", "imported"] as const;
type GuestFunction = (typeof guestFunctions)[number];

export class IsolateMaker {
  #prelude = bundleGuest("javascript", "createJavaScriptGuest");
  #cachedData: ivm.ExternalCopy<ArrayBuffer> | undefined;
  #ready: Promise<ReadyIsolate> | undefined;

  /** Makes one for the default memory limit, unless there is one. */
  async prepare(): Promise<void> {
    this.#ready ??= this.#make(limitTable.memoryBytesMax.default);
    await this.#ready;
  }

  /** An isolate for one run; the caller disposes of it, or ends the process. */
  async take(memoryBytesMax: number): Promise<ReadyIsolate> {
    const ready = this.#ready;
    if (ready === undefined || memoryBytesMax !== limitTable.memoryBytesMax.default)
      return await this.#make(memoryBytesMax);
    this.#ready = undefined;
    return await ready;
  }

  async #make(memoryBytesMax: number): Promise<ReadyIsolate> {
    const isolate = new ivm.Isolate({ memoryLimit: Math.max(8, Math.floor(memoryBytesMax / MiB)) });
    const context = await isolate.createContext();
    let answer = async (_text: string): Promise<string> => "{}";
    const hostReference = new ivm.Reference((text: string) => answer(text));
    const cache = this.#cachedData === undefined ? { produceCachedData: true } : { cachedData: this.#cachedData };
    const script = await isolate.compileScript(this.#prelude, { filename: "stepvault:prelude", ...cache });
    this.#cachedData ??= (script as { cachedData?: ivm.ExternalCopy<ArrayBuffer> }).cachedData;
    const createGuest: ivm.Reference = await script.run(context, { reference: true });
    const made: ivm.Reference = await createGuest.apply(undefined, [hostReference], { result: { reference: true } });
    const functions = await Promise.all(
      guestFunctions.map(async (name) => [name, await made.get(name, { reference: true })] as const),
    );
    return {
      isolate,
      context,
      guest: Object.fromEntries(functions) as Record<GuestFunction, ivm.Reference>,
      connect(answerFrom) {
        answer = answerFrom;
      },
    };
  }
}
