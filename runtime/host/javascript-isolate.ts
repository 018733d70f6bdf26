/**
 * Isolates with the guest's code in them, made ahead of the run that will use one: creating one takes milliseconds that
 * a run need not wait for. They start from a V8 snapshot that each host process makes of the guest when it starts, so
 * that neither compiling nor installing is done again. An isolate's memory limit is fixed when it is made, so a run with
 * another limit than the default gets a fresh one.
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

type GuestFunction = "receive" | "run" | "imported";

/** Where the snapshot keeps the guest; gone before a step can look. */
const guestName = "stepvault";

export class IsolateMaker {
  #snapshot = makeSnapshot();
  #ready: ReadyIsolate | undefined;

  /** Makes one for the default memory limit, unless there is one. */
  prepare(): void {
    this.#ready ??= this.#make(limitTable.memoryBytesMax.default);
  }

  /** An isolate for one run; the caller disposes of it, or ends the process. */
  take(memoryBytesMax: number): ReadyIsolate {
    const ready = this.#ready;
    if (ready === undefined || memoryBytesMax !== limitTable.memoryBytesMax.default) return this.#make(memoryBytesMax);
    this.#ready = undefined;
    return ready;
  }

  /** Only code of ours runs here, so all of it does on this thread: each change of threads costs more than the work. */
  #make(memoryBytesMax: number): ReadyIsolate {
    const memoryLimit = Math.max(8, Math.floor(memoryBytesMax / MiB));
    const isolate = new ivm.Isolate({ memoryLimit, snapshot: this.#snapshot });
    const context = isolate.createContextSync();
    let answer = async (_text: string): Promise<string> => "{}";
    const guest: ivm.Reference = context.global.getSync(guestName, { reference: true });
    context.global.deleteSync(guestName);
    const method = (name: string): ivm.Reference => guest.getSync(name, { reference: true });
    method("connect").applySync(undefined, [new ivm.Reference((text: string) => answer(text))]);
    return {
      isolate,
      context,
      guest: { receive: method("receive"), run: method("run"), imported: method("imported") },
      connect(answerFrom) {
        answer = answerFrom;
      },
    };
  }
}

/** What the rehearsal, in a context that is thrown away, makes V8 compile is kept in the snapshot. */
function makeSnapshot(): ivm.ExternalCopy<ArrayBuffer> {
  const code = `globalThis.${guestName} = ${bundleGuest("javascript", "createJavaScriptGuest")}();`;
  return ivm.Isolate.createSnapshot([{ code, filename: "stepvault:prelude" }], `${guestName}.rehearse();`);
}
