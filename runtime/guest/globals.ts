/**
 * Puts our functions and classes into the isolate's global, under the names that they have on the web: a class of ours
 * is called otherwise in its file, as all files of the guest share one scope. Runs inside the isolate.
 */

export function exposeGlobal(name: string, value: unknown): void {
  if (typeof value === "function") {
    Object.defineProperty(value, "name", { value: name, configurable: true });
    const prototype = Object.getOwnPropertyDescriptor(value, "prototype")?.value as object | undefined;
    if (prototype !== undefined && !Object.hasOwn(prototype, Symbol.toStringTag))
      Object.defineProperty(prototype, Symbol.toStringTag, { value: name, configurable: true });
  }
  Object.defineProperty(globalThis, name, { value, writable: true, configurable: true, enumerable: false });
}
