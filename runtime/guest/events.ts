/**
 * Event, EventTarget, AbortController and AbortSignal. An error in a listener is one that nobody can catch, so it ends
 * the run, as one in a timer's callback does. Runs inside the isolate.
 */
import { GuestDOMException } from "./exception.ts";
import { exposeGlobal } from "./globals.ts";
import { reportUncaught, startTimer } from "./timers.ts";

class GuestEvent {
  readonly type: string;
  readonly bubbles: boolean;
  readonly cancelable: boolean;
  readonly timeStamp = 0;
  target: unknown = null;
  currentTarget: unknown = null;
  defaultPrevented = false;
  #stopped = false;

  constructor(type: unknown, init: { bubbles?: unknown; cancelable?: unknown } = {}) {
    this.type = String(type);
    this.bubbles = Boolean(init.bubbles);
    this.cancelable = Boolean(init.cancelable);
  }
  preventDefault(): void {
    if (this.cancelable) this.defaultPrevented = true;
  }
  stopPropagation(): void {}
  stopImmediatePropagation(): void {
    this.#stopped = true;
  }
  static isStopped(event: GuestEvent): boolean {
    return event.#stopped;
  }
}

const { isStopped } = GuestEvent;

class GuestCustomEvent extends GuestEvent {
  readonly detail: unknown;

  constructor(type: unknown, init: { bubbles?: unknown; cancelable?: unknown; detail?: unknown } = {}) {
    super(type, init);
    this.detail = init.detail ?? null;
  }
}

interface Listener {
  readonly type: string;
  readonly callback: unknown;
  readonly once: boolean;
}

interface ListenerOptions {
  once?: unknown;
  signal?: GuestAbortSignal;
}

class GuestEventTarget {
  #listeners: Listener[] = [];

  addEventListener(type: unknown, callback: unknown, options: ListenerOptions | boolean = {}): void {
    if (callback === null || callback === undefined) return;
    const { once, signal } = typeof options === "object" ? options : {};
    if (signal?.aborted || this.#listeners.some((known) => known.type === String(type) && known.callback === callback))
      return;
    this.#listeners.push({ type: String(type), callback, once: Boolean(once) });
    if (signal !== undefined) onAbort(signal, () => this.removeEventListener(type, callback));
  }
  removeEventListener(type: unknown, callback: unknown): void {
    this.#listeners = this.#listeners.filter((known) => known.type !== String(type) || known.callback !== callback);
  }
  dispatchEvent(event: GuestEvent): boolean {
    event.target = event.currentTarget = this;
    const handler = (this as unknown as Record<string, unknown>)[`on${event.type}`];
    const listeners = this.#listeners.filter(({ type }) => type === event.type);
    if (typeof handler === "function") listeners.unshift({ type: event.type, callback: handler, once: false });
    for (const { type, callback, once } of listeners) {
      if (isStopped(event)) break;
      if (once) this.removeEventListener(type, callback);
      callListener(callback, this, event);
    }
    event.currentTarget = null;
    return !event.defaultPrevented;
  }
}

function callListener(callback: unknown, target: GuestEventTarget, event: GuestEvent): void {
  try {
    if (typeof callback === "function") Reflect.apply(callback, target, [event]);
    else (callback as { handleEvent?(event: GuestEvent): void }).handleEvent?.(event);
  } catch (error) {
    reportUncaught(error);
  }
}

let abortSignal: (signal: GuestAbortSignal, reason: unknown) => void;
/** Calls back once when the signal is aborted, at once when it already is. Gives what takes that back. */
export let onAbort: (signal: GuestAbortSignal, callback: () => void) => () => void;

export class GuestAbortSignal extends GuestEventTarget {
  onabort: unknown = null;
  #aborted = false;
  #reason: unknown = undefined;
  /** What must happen on abort whatever listeners do: ends of requests, signals that follow this one. */
  #then = new Set<() => void>();

  get aborted(): boolean {
    return this.#aborted;
  }
  get reason(): unknown {
    return this.#reason;
  }
  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason;
  }
  static abort(reason: unknown = abortError()): GuestAbortSignal {
    const signal = new GuestAbortSignal();
    abortSignal(signal, reason);
    return signal;
  }
  static timeout(ms: unknown): GuestAbortSignal {
    const signal = new GuestAbortSignal();
    startTimer(() => {
      abortSignal(signal, new GuestDOMException("The operation was aborted due to timeout", "TimeoutError"));
    }, ms);
    return signal;
  }
  static any(signals: Iterable<GuestAbortSignal>): GuestAbortSignal {
    const signal = new GuestAbortSignal();
    const sources = [...signals];
    const aborted = sources.find((source) => source.#aborted);
    if (aborted !== undefined) abortSignal(signal, aborted.#reason);
    else for (const source of sources) source.#then.add(() => abortSignal(signal, source.#reason));
    return signal;
  }
  static #abort(signal: GuestAbortSignal, reason: unknown): void {
    if (signal.#aborted) return;
    signal.#aborted = true;
    signal.#reason = reason;
    const following = [...signal.#then];
    signal.#then.clear();
    for (const follow of following) follow();
    signal.dispatchEvent(new GuestEvent("abort"));
  }
  static #onAbort(signal: GuestAbortSignal, callback: () => void): () => void {
    if (signal.#aborted) callback();
    else signal.#then.add(callback);
    return () => void signal.#then.delete(callback);
  }
  static {
    abortSignal = (signal, reason) => GuestAbortSignal.#abort(signal, reason);
    onAbort = (signal, callback) => GuestAbortSignal.#onAbort(signal, callback);
  }
}

class GuestAbortController {
  readonly signal = new GuestAbortSignal();

  abort(reason: unknown = abortError()): void {
    abortSignal(this.signal, reason);
  }
}

const abortError = (): GuestDOMException => new GuestDOMException("This operation was aborted", "AbortError");

export function installEvents(): void {
  exposeGlobal("Event", GuestEvent);
  exposeGlobal("CustomEvent", GuestCustomEvent);
  exposeGlobal("EventTarget", GuestEventTarget);
  exposeGlobal("AbortSignal", GuestAbortSignal);
  exposeGlobal("AbortController", GuestAbortController);
}
