/**
 * Freezes the built-ins that the guest's own code uses, so that a step cannot change what that code does or be handed
 * anything of it; the bundle keeps its own bindings of the global names (host/guest-bundle.ts). Trades: a step cannot
 * patch built-in prototypes. Left open are RegExp, as V8 matches slowly once its prototype is not the original, and
 * Date, BigInt and Intl, which steps do patch (`BigInt.prototype.toJSON`) and nothing of ours relies on.
 */
import { errorClasses } from "./kind.ts";

const iteratorOf = (value: object): object => Object.getPrototypeOf(value) as object;

export function hardenIntrinsics(): void {
  const generator = function* (): Generator {}.prototype as object;
  const asyncGenerator = async function* (): AsyncGenerator {}.prototype as object;
  const typedArray = iteratorOf(Uint8Array) as FunctionConstructor;
  const iteratorPrototype = iteratorOf(iteratorOf([][Symbol.iterator]()));

  mendOverrides(Object.prototype, Reflect.ownKeys(Object.prototype));
  for (const constructor of errorClasses)
    mendOverrides(constructor.prototype, ["constructor", "name", "message", "toString"]);
  mendOverrides(Function.prototype, ["toString", "call", "apply", "bind", "constructor"]);
  mendOverrides(Array.prototype, ["toString", "push"]);
  mendOverrides(iteratorPrototype, [Symbol.iterator]);
  // openai sets `return` on an async generator, the `buffer` package puts its methods on an heir of Uint8Array.
  for (const made of [generator, asyncGenerator]) mendOverrides(iteratorOf(made), ["next", "return", "throw"]);
  const bytesMethods = ["toString", "toLocaleString", "slice", "fill", "includes", "indexOf", "lastIndexOf"];
  mendOverrides(typedArray.prototype, bytesMethods);

  const prototypes = [
    Object,
    Function,
    Array,
    Promise,
    String,
    Number,
    Boolean,
    Symbol,
    Map,
    Set,
    WeakMap,
    WeakSet,
    WeakRef,
    ArrayBuffer,
    DataView,
    typedArray,
    Uint8Array,
    ...errorClasses,
  ].map((constructor) => constructor.prototype as object);
  const iterators = [[][Symbol.iterator](), new Map().entries(), new Set().entries(), ""[Symbol.iterator]()];
  for (const prototype of prototypes) Object.freeze(prototype);
  for (const iterator of iterators) Object.freeze(iteratorOf(iterator));
  for (const made of [generator, asyncGenerator]) {
    Object.freeze(iteratorOf(made));
    Object.freeze(iteratorOf(iteratorOf(made)));
  }
  // Error itself stays open: `Error.stackTraceLimit` is there to be set.
  for (const constructor of [Object, Function, Array, Promise, String, Number, Boolean, Symbol, Map, Set])
    Object.freeze(constructor);
  for (const constructor of [ArrayBuffer, DataView, typedArray, Uint8Array, WeakMap, WeakSet, WeakRef])
    Object.freeze(constructor);
  for (const namespace of [JSON, Math, Reflect]) Object.freeze(namespace);

  const globals = globalThis as Record<string, unknown>;
  for (const name of ["WebAssembly", "SharedArrayBuffer", "Atomics"]) delete globals[name];
}

/**
 * JavaScript refuses to assign a property to an object whose frozen prototype has one of that name. For names that
 * programs do assign, such as an error class's `name`, an accessor makes the assignment define the object's own.
 */
function mendOverrides(prototype: object, keys: readonly (string | symbol)[]): void {
  for (const key of keys) {
    const descriptor = Object.getOwnPropertyDescriptor(prototype, key);
    if (descriptor === undefined || !("value" in descriptor) || !descriptor.configurable) continue;
    const inherited: unknown = descriptor.value;
    Object.defineProperty(prototype, key, {
      get: () => inherited,
      set(this: object, value: unknown) {
        // As an assignment to any other frozen property in a step's sloppy code: nothing happens.
        if (this === prototype) return;
        Object.defineProperty(this, key, { value, writable: true, enumerable: true, configurable: true });
      },
      enumerable: false,
      configurable: false,
    });
  }
}
