/**
 * Whether this is a browser, where everybody who opens the page can read what it holds. Node, Deno and Bun are told by what
 * they have themselves, as tests put a document there; whatever else has a document or is a web worker counts as a browser.
 * A page that wants to deceive this can: the server refuses such keys from browsers as well. Imports nothing.
 */
interface Global {
  readonly window?: unknown;
  readonly document?: unknown;
  readonly importScripts?: unknown;
  readonly Deno?: { readonly version?: { readonly deno?: unknown } };
  readonly Bun?: { readonly version?: unknown };
  readonly process?: { readonly versions?: { readonly node?: unknown }; readonly type?: unknown };
}

export function isBrowser(): boolean {
  const scope = globalThis as unknown as Global;
  if (isServer(scope)) return false;
  return (scope.window !== undefined && scope.document !== undefined) || typeof scope.importScripts === "function";
}

function isServer({ Deno, Bun, process }: Global): boolean {
  if (typeof Deno?.version?.deno === "string" || typeof Bun?.version === "string") return true;
  // Bundlers put a plain object in the place of Node's process; a window of Electron has the real one.
  const real = Object.prototype.toString.call(process) === "[object process]";
  return real && typeof process?.versions?.node === "string" && process.type !== "renderer";
}
