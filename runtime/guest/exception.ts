/** DOMException, the error class of the web's functions, with its names and their numbers. Runs inside the isolate. */
import { exposeGlobal } from "./globals.ts";

const exceptionCodes: Readonly<Record<string, number>> = {
  IndexSizeError: 1,
  HierarchyRequestError: 3,
  InvalidCharacterError: 5,
  NoModificationAllowedError: 7,
  NotFoundError: 8,
  NotSupportedError: 9,
  InvalidStateError: 11,
  SyntaxError: 12,
  InvalidModificationError: 13,
  InvalidAccessError: 15,
  SecurityError: 18,
  NetworkError: 19,
  AbortError: 20,
  URLMismatchError: 21,
  QuotaExceededError: 22,
  TimeoutError: 23,
  DataCloneError: 25,
};

export class GuestDOMException extends Error {
  readonly #name: string;

  constructor(message: unknown = "", options: unknown = "Error") {
    super(String(message));
    if (typeof options === "object" && options !== null) {
      const { name = "Error", cause } = options as { name?: unknown; cause?: unknown };
      this.#name = String(name);
      if (cause !== undefined)
        Object.defineProperty(this, "cause", { value: cause, writable: true, configurable: true });
    } else this.#name = String(options);
  }
  override get name(): string {
    return this.#name;
  }
  get code(): number {
    return Object.hasOwn(exceptionCodes, this.#name) ? exceptionCodes[this.#name]! : 0;
  }
}

export function installException(): void {
  exposeGlobal("DOMException", GuestDOMException);
}
