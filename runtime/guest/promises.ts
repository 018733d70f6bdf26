/**
 * Promises as streams need them. What a step's function gives may be a promise that the step has changed, so its `then`
 * is never called: `await` looks at nothing of it but its constructor. Runs inside the isolate.
 */

export interface Deferred {
  readonly promise: Promise<unknown>;
  resolve(value?: unknown): void;
  reject(reason: unknown): void;
}

export const deferred = (): Deferred => Promise.withResolvers<unknown>();

const ignore = (): void => {};

/** Calls one of the two once the value is settled. */
export async function upon(
  value: unknown,
  onFulfilled: (result: unknown) => void,
  onRejected: (reason: unknown) => void,
): Promise<void> {
  let result: unknown;
  try {
    result = await value;
  } catch (error) {
    onRejected(error);
    return;
  }
  onFulfilled(result);
}

/** The promise itself: when it rejects and nobody awaits it, that is no surprise. */
export function expected(promise: Promise<unknown>): Promise<unknown> {
  upon(promise, ignore, ignore);
  return promise;
}

/**
 * What a reader or writer is told once, such as that the stream is closed. When it has been told and something else is
 * true later, whoever asks from then on gets another promise.
 */
export class Notice {
  #told: Deferred = deferred();
  #pending = true;

  get promise(): Promise<unknown> {
    return this.#told.promise;
  }
  resolve(): void {
    this.#pending = false;
    this.#told.resolve();
  }
  reject(reason: unknown): void {
    if (!this.#pending) this.renew();
    this.#pending = false;
    expected(this.#told.promise);
    this.#told.reject(reason);
  }
  renew(): void {
    this.#told = deferred();
    this.#pending = true;
  }
}

/** What the call gives or throws, as a promise. */
export function invoke(call: () => unknown): Promise<unknown> {
  try {
    return Promise.resolve(call());
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Settles with the value, and gives nothing of it. */
export async function settled(value: unknown): Promise<undefined> {
  await value;
}
