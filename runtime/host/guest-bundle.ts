/**
 * Turns the ES modules in guest/ into one script for an isolate: imports in dependency order, `import` and `export`
 * words dropped, everything inside one strict function. One script and not linked modules, because a script can be
 * cached, and put into a V8 snapshot; the price is that top-level names must be unique across guest/, which V8 checks.
 */
import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { fileURLToPath } from "node:url";

const extension = import.meta.filename.endsWith(".ts") ? ".ts" : ".js";
/** The guest's own bindings of the global names that it uses: a step may assign others to the global later. */
const ownBuiltIns = `const { ${["AggregateError", "Array", "ArrayBuffer", "BigInt", "Boolean", "DataView", "Date", "Error", "EvalError", "Function", "Int8Array", "JSON", "Map", "Math", "Number", "Object", "Promise", "RangeError", "ReferenceError", "Reflect", "RegExp", "Set", "String", "Symbol", "SyntaxError", "TypeError", "URIError", "Uint8Array", "WeakMap", "WeakRef", "WeakSet", "decodeURIComponent", "encodeURIComponent"].join(", ")} } = globalThis;`;

const importLine = /^import [^;]*? from "\.\/([a-z-]+)\.[tj]s";$/gm;

/** A script whose value is the named export of a guest module, a function. */
export function bundleGuest(moduleName: string, entry: string): string {
  const sources = new Map<string, string>();
  collect(moduleName, sources);
  // In a block, since there two functions of one name are an error too.
  const body = [...sources.values()].join("\n");
  return `(function () { "use strict"; ${ownBuiltIns} {\n${body}\nreturn ${entry};\n} })()`;
}

function collect(moduleName: string, sources: Map<string, string>): void {
  if (sources.has(moduleName)) return;
  const file = fileURLToPath(new URL(`../guest/${moduleName}${extension}`, import.meta.url));
  const text = readFileSync(file, "utf8");
  const source = extension === ".ts" ? stripTypeScriptTypes(text) : text;
  for (const [, dependency] of source.matchAll(importLine)) collect(dependency ?? "", sources);
  const plain = source
    .replaceAll(importLine, "")
    .replaceAll(/^export \{[^}]*\};$/gm, "")
    .replaceAll(/^export +(?=(async |function|class|const|let))/gm, "");
  sources.set(moduleName, plain);
}
