/**
 * The guest's only way out: JSON texts to the host, over one Reference that stays in this closure. Runs inside the
 * isolate, before any user code, so it keeps its own copies of what it uses: a step may replace any global later.
 * Budgets are counted here first, so that a flood stops before it leaves the isolate; the host counts again.
 */

export interface HostReference {
  applyIgnored(receiver: undefined, args: [string]): void;
  applySyncPromise(receiver: undefined, args: [string]): string;
}

export interface GuestLimits {
  readonly stdoutBytesMax: number;
  readonly stdoutLinesMax: number;
  readonly logEntriesMax: number;
  readonly logBytesMax: number;
  readonly outputBytesMax: number;
  readonly outputDepthMax: number;
  readonly timersMax: number;
  readonly requestsMax: number;
  readonly requestBytesMax: number;
}

let hostReference: HostReference;

/** Sets who hears the guest. Before that it must say nothing: what is in a snapshot has no host. */
export function connectHost(reference: HostReference): void {
  hostReference = reference;
}

const jsonStringify = JSON.stringify;
const jsonParse = JSON.parse;

/** Bytes sent since the host last confirmed that it passed them on. */
let unconfirmedBytes = 0;
const unconfirmedBytesMax = 256 * 1024;

let ended = false;

/** Sends one message and does not wait, except when too much is under way: then it waits for the host to catch up. */
export function send(message: object): void {
  if (ended) return;
  const text = jsonStringify(message);
  unconfirmedBytes += text.length + 64;
  hostReference.applyIgnored(undefined, [text]);
  if (unconfirmedBytes < unconfirmedBytesMax) return;
  unconfirmedBytes = 0;
  hostReference.applySyncPromise(undefined, ['{"type":"barrier"}']);
}

/** Sends one message and blocks the isolate's thread until the host answers. */
export function sendAndWait(message: object): unknown {
  if (ended) return undefined;
  return jsonParse(hostReference.applySyncPromise(undefined, [jsonStringify(message)]));
}

/** The last message of the run. Whatever the step does afterwards is not sent. */
export function sendLast(message: object): void {
  send(message);
  ended = true;
}

/** Ends the run with a typed error. The caller may go on; nothing that it sends is heard any more. */
export function failRun(code: string, message: string): void {
  sendLast({ type: "fail", error: { code, message } });
}

const handlers: Record<string, (event: never) => void> = { __proto__: null } as never;

/** Registers what happens when the host sends an event of this kind. */
export function onHostEvent(type: string, handler: (event: never) => void): void {
  handlers[type] = handler;
}

/** Called by the host, with one JSON text. Never throws into it. */
export function receive(text: string): void {
  try {
    const event = jsonParse(text) as { type: string };
    handlers[event.type]?.(event as never);
  } catch {
    // Without this the step would wait for an answer that never comes.
    failRun("ERR_STEP_THREW", "Cannot go on: an event for the step could not be delivered");
  }
}

export { jsonParse, jsonStringify };
