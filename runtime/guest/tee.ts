/**
 * One stream as two, each of which gives every chunk. What one of them has not read waits in it. Runs inside the isolate.
 */
import { deferred, upon } from "./promises.ts";
import { ReadableCore, type ReaderCore } from "./readable-core.ts";

export function tee(reader: ReaderCore): [ReadableCore, ReadableCore] {
  const source = reader.stream!;
  const cancelled = deferred();
  const branches: { core: ReadableCore; wanted: boolean; reason: unknown }[] = [];
  const each = (action: (core: ReadableCore) => void): void => {
    for (const { core, wanted } of branches) if (wanted) action(core);
  };
  let reading = false;
  let readAgain = false;

  const pull = (): void => {
    readAgain = reading;
    if (reading) return;
    reading = true;
    reader.read({
      chunk(value) {
        // A moment later, so that an error that the source reports at once reaches the branches before its chunks.
        upon(
          undefined,
          () => pass(value),
          () => {},
        );
      },
      close() {
        reading = false;
        each((core) => core.close());
        if (branches.some(({ wanted }) => wanted)) cancelled.resolve();
      },
      error() {
        reading = false;
      },
    });
  };
  const pass = (value: unknown): void => {
    readAgain = false;
    each((core) => core.enqueue(value));
    reading = false;
    if (readAgain) pull();
  };
  const cancel = (branch: number, reason: unknown): Promise<unknown> => {
    Object.assign(branches[branch]!, { wanted: false, reason });
    if (branches.every(({ wanted }) => !wanted)) cancelled.resolve(source.cancel(branches.map((one) => one.reason)));
    return cancelled.promise;
  };
  for (const branch of [0, 1]) {
    const core = new ReadableCore(
      { pull, cancel: (reason) => cancel(branch, reason) },
      { highWaterMark: 1, size: () => 1 },
    );
    branches.push({ core, wanted: true, reason: undefined });
  }
  upon(
    reader.closed.promise,
    () => {},
    (reason) => {
      for (const { core } of branches) core.error(reason);
      if (branches.some(({ wanted }) => wanted)) cancelled.resolve();
    },
  );
  return [branches[0]!.core, branches[1]!.core];
}
