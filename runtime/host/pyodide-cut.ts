/**
 * Pyodide's own files, cut to what an interpreter in an isolate needs, since most of a start would be spent on the rest:
 * 8,500 exported functions and 280 of WebGL, there for dynamic linking. The cuts are made on the text of one exact
 * version; what is not found exactly as expected is an error, so a new version of Pyodide cannot be cut wrongly in
 * silence. Knows nothing of isolates.
 */
import { StepvaultError } from "../../protocol/error.ts";

export interface PyodideScripts {
  /** `(function () { … return createPyodideModule })` of pyodide.asm.mjs. */
  readonly module: string;
  /** `(function () { … return loadPyodide })` of pyodide.mjs. */
  readonly loader: string;
  /** What the interpreter's wasm file must export. */
  readonly exportsKept: ReadonlySet<string>;
}

interface PyodideSources {
  readonly module: string;
  readonly loader: string;
  /** Whether packages with shared libraries must be able to link with the interpreter; then its exports all stay. */
  readonly linkable: boolean;
}

/** Classic scripts, not modules: V8 compiles what stands in brackets at once, and puts it into its code cache. */
export function cutScripts({ module, loader, linkable }: PyodideSources): PyodideScripts {
  const text = new SourceText(module);
  text.replace("export default _createPyodideModule;", "return _createPyodideModule;");
  text.replaceAll("import.meta.url", '"file:///pyodide.asm.mjs"');
  // The memory comes in pages, and not whole: most of it is zero.
  text.replace(
    "return Module.HEAP8.set(t),l}",
    "return API.config.restoreMemory(growMemory,()=>HEAPU8,HEAPU32[_emscripten_get_sbrk_ptr()>>>2]),l}",
  );
  countFileBytes(text);
  const exportsKept = linkable ? new Set<string>() : cutLinking(text, loader);
  const loaderText = new SourceText(loader);
  loaderText.replace("export{dt as loadPyodide,U as version};", "return dt;");
  return {
    module: `(function () { "use strict";\n${text.text}\n})`,
    loader: `(function () { "use strict";\n${loaderText.text}\n})`,
    exportsKept,
  };
}

/** Files lie in memory; each place that makes one larger asks first. */
function countFileBytes(text: SourceText): void {
  const grown = "node.contents=new Uint8Array(newCapacity)";
  text.replace(grown, `API.config.claimFileBytes(FS,newCapacity-prevCapacity);${grown}`);
  const resized = "node.contents=new Uint8Array(newSize)";
  text.replace(resized, `API.config.claimFileBytes(FS,newSize-oldContents.length);${resized}`);
  const written = "node.contents=buffer.slice(offset,offset+length)";
  const all = text.text.split(written).length - 1;
  if (all === 0) throw notAsExpected(written);
  text.replaceAll(written, `API.config.claimFileBytes(FS,length),${written}`);
}

/** Takes out what only shared libraries need, and tells which exports are used beside it. */
function cutLinking(text: SourceText, loader: string): Set<string> {
  text.replace("updateGOT(origExports);", "");
  text.replace("updateTableMap(0,wasmTable.length)", "");
  text.replace(
    "reportUndefinedSymbols=()=>{for(var[symName,entry]of Object.entries(GOT)){",
    'reportUndefinedSymbols=()=>{for(var[symName,entry]of Object.entries(GOT)){if(symName.startsWith("emscripten_gl")){entry.value=0;continue}',
  );
  const start = text.find("function assignWasmExports(wasmExports){");
  const end = text.find("}var wasmImports={");
  const head = text.text.indexOf("{", start) + 1;
  const statements = text.text.slice(head, end).split(";");
  const rest = text.text.slice(0, start) + text.text.slice(end) + loader;
  const used = countNames(rest);
  const kept = new Set([...rest.matchAll(exportByName)].map(([, quoted, name = quoted]) => name ?? ""));
  const left = statements.filter((statement) => {
    const [, variable, name] = /^([\w$]+)=.*wasmExports\["([^"]+)"\](?:\.value>>>0)?$/.exec(statement) ?? [];
    if (variable === undefined || name === undefined) throw notAsExpected("an assignment of an export");
    // Once is its declaration.
    if ((used.get(variable) ?? 0) > 1) kept.add(name);
    return kept.has(name);
  });
  text.text = text.text.slice(0, head) + left.join(";") + text.text.slice(end);
  return kept;
}

const exportByName = /wasmExports(?:\["([^"]+)"\]|\.([\w$]+))/g;

function countNames(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const [word] of text.matchAll(/[A-Za-z_$][\w$]*/g)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

class SourceText {
  text: string;

  constructor(text: string) {
    this.text = text;
  }

  /** Where the part stands. Throws unless it stands there once. */
  find(part: string): number {
    const at = this.text.indexOf(part);
    if (at < 0 || this.text.includes(part, at + 1)) throw notAsExpected(part.slice(0, 60));
    return at;
  }

  replace(part: string, by: string): void {
    const at = this.find(part);
    this.text = this.text.slice(0, at) + by + this.text.slice(at + part.length);
  }

  replaceAll(part: string, by: string): void {
    if (!this.text.includes(part)) throw notAsExpected(part);
    this.text = this.text.replaceAll(part, by);
  }
}

function notAsExpected(what: string): StepvaultError {
  return new StepvaultError(
    "ERR_SANDBOX_START",
    `Cannot cut Pyodide's files: "${what}" is not there, or more than once; is this another version of Pyodide?`,
  );
}

const exportSection = 7;

/** The wasm file with the exports in `kept` only; with all when it is empty. */
export function cutWasm(wasm: Uint8Array, kept: ReadonlySet<string>): Uint8Array {
  if (kept.size === 0) return wasm;
  const parts: Uint8Array[] = [wasm.subarray(0, 8)];
  const reader = new WasmReader(wasm, 8);
  while (reader.at < wasm.length) {
    const start = reader.at;
    const id = wasm[reader.at++];
    const bytes = reader.number();
    const body = reader.at;
    reader.at += bytes;
    if (id === exportSection) parts.push(section(exportSection, cutExports(new WasmReader(wasm, body), kept)));
    else parts.push(wasm.subarray(start, reader.at));
  }
  return Buffer.concat(parts);
}

function cutExports(reader: WasmReader, kept: ReadonlySet<string>): Uint8Array {
  const entries: Uint8Array[] = [];
  for (let left = reader.number(); left > 0; left--) {
    const start = reader.at;
    const length = reader.number();
    const name = Buffer.from(reader.bytes.subarray(reader.at, reader.at + length)).toString("utf8");
    reader.at += length + 1;
    reader.number();
    if (kept.has(name)) entries.push(reader.bytes.subarray(start, reader.at));
  }
  return Buffer.concat([encodeNumber(entries.length), ...entries]);
}

function section(id: number, body: Uint8Array): Uint8Array {
  return Buffer.concat([Uint8Array.of(id), encodeNumber(body.length), body]);
}

/** LEB128, the only encoding of numbers in wasm files. */
function encodeNumber(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  do {
    const low = left % 128;
    left = Math.floor(left / 128);
    bytes.push(left > 0 ? low | 128 : low);
  } while (left > 0);
  return Uint8Array.from(bytes);
}

class WasmReader {
  readonly bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  number(): number {
    let value = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw notAsExpected("a whole number");
      value += (byte & 127) * shift;
      if (byte < 128) return value;
    }
  }
}
