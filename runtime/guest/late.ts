/**
 * The guest's own copies of built-ins that V8 adds to a context only once it is restored from a snapshot. They are taken
 * when the guest is connected, before any code of a step runs; nothing uses them earlier. Runs inside the isolate.
 */

interface LateBuiltIns {
  isError(value: unknown): value is Error;
  fromBase64(this: Uint8ArrayConstructor, text: string): Uint8Array;
  toBase64(this: Uint8Array): string;
  /** The time, in nanoseconds since 1970. */
  instant(): { readonly epochNanoseconds: bigint };
}

export let late: LateBuiltIns;

export function takeLateBuiltIns(): void {
  const { Error, Uint8Array, Temporal } = globalThis as unknown as {
    Error: Pick<LateBuiltIns, "isError">;
    Uint8Array: Pick<LateBuiltIns, "fromBase64"> & { prototype: Pick<LateBuiltIns, "toBase64"> };
    Temporal: { Now: Pick<LateBuiltIns, "instant"> };
  };
  const { isError } = Error;
  const { fromBase64, prototype } = Uint8Array;
  const { toBase64 } = prototype;
  const { instant } = Temporal.Now;
  late = { isError, fromBase64, toBase64, instant };
}

/** For a context in which V8 has not added them: enough to go through the motions of a run. */
export function standInForLateBuiltIns(): void {
  const instant = (): object => ({ epochNanoseconds: 0n });
  Object.assign(globalThis, { Temporal: { Now: { instant } } });
  Object.assign(Error, { isError: () => false });
}
