/**
 * A value as a person reads it, in the manner of Node's util.inspect. Bounded in depth, entries and length, because a
 * log line is not an export. It tells kinds apart by what only their own methods can read and calls no getter and no
 * method of the step's, so that showing a value does not run code. Runs inside the isolate.
 */
import { errorClasses, kindOf } from "./kind.ts";

const depthMaxDefault = 6;
const entriesMax = 100;
const stringMax = 10_000;
/** One line holds an object of at most so many characters with its surroundings, and so many levels below it. */
const lineLengthMax = 80;
const levelsOnOneLineMax = 3;
/** From so many entries on, an array is laid out in columns. */
const groupedFrom = 7;
const columnsMax = 12;

interface View {
  readonly depthMax: number;
  readonly parents: object[];
  readonly cycles: object[];
  indent: number;
  /** Depth of the object that was shown last: tells how many levels the one around it has. */
  lastDepth: number;
}

/** Shows errors; set by error.ts, which needs this file itself. */
let showError: (error: Error) => string = () => "";

export function setErrorFormat(format: (error: Error) => string): void {
  showError = format;
}

/** Our own objects keep their contents private; this method of theirs gives what to show. Never handed to a step. */
export const contentsOf = Symbol("contents");

export function inspect(value: unknown, depthMax = depthMaxDefault): string {
  try {
    return show(value, { depthMax, parents: [], cycles: [], indent: 0, lastDepth: 0 });
  } catch {
    // A proxy whose traps throw, or a stack too deep: the log line says so instead of failing the step.
    return "[Unreadable]";
  }
}

function show(value: unknown, view: View): string {
  switch (typeof value) {
    case "string":
      return showString(value);
    case "bigint":
      return `${value}n`;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "function":
    case "object":
      return value === null ? "null" : showObject(value, view);
    default:
      return String(value);
  }
}

function showString(value: string): string {
  const left = value.length - stringMax;
  if (left <= 0) return quote(value);
  return `${quote(value.slice(0, stringMax))}... ${left} more character${left > 1 ? "s" : ""}`;
}

const escapes: Record<string, string> = {
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
  "\v": "\\v",
};

function quote(text: string): string {
  const mark = !text.includes("'") ? "'" : !text.includes('"') ? '"' : !text.includes("`") ? "`" : "'";
  let body = "";
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    const character = text[i]!;
    if (character === "\\" || character === mark) body += `\\${character}`;
    else if (unit < 0x20 || (unit >= 0x7f && unit <= 0x9f))
      body += escapes[character] ?? `\\x${unit.toString(16).toUpperCase().padStart(2, "0")}`;
    else body += character;
  }
  return mark + body + mark;
}

function showObject(value: object, view: View): string {
  if (view.parents.includes(value)) {
    if (!view.cycles.includes(value)) view.cycles.push(value);
    return `[Circular *${view.cycles.indexOf(value) + 1}]`;
  }
  if (view.parents.length > view.depthMax) {
    return Array.isArray(value) ? "[Array]" : `[${prefixOf(value, "Object").trimEnd()}]`;
  }
  const depth = view.parents.length;
  view.lastDepth = depth;
  view.parents.push(value);
  const { base, braces, entries } = partsOf(value, view);
  view.parents.pop();
  const at = view.cycles.indexOf(value);
  const text = entries.length === 0 && base !== "" ? base : layOut(entries, { base, braces, depth, view, value });
  return at < 0 ? text : `<ref *${at + 1}> ${text}`;
}

interface Parts {
  /** What stands before the braces, or for the whole when there is nothing in them. */
  base: string;
  braces: [string, string];
  entries: string[];
}

/** What kind of thing this is decides its beginning and its entries; all other own properties follow. */
function partsOf(value: object, view: View): Parts {
  const inner = (item: unknown): string => {
    view.indent += 2;
    const text = show(item, view);
    view.indent -= 2;
    return text;
  };
  const plain = (prefix: string, entries: string[] = []): Parts => {
    return { base: "", braces: [`${prefix}{`, "}"], entries: [...entries, ...properties(value, inner)] };
  };
  const kind = kindOf(value);
  if (kind === undefined) {
    const own = (value as Record<symbol, unknown>)[contentsOf] as (() => object) | undefined;
    const prefix = prefixOf(value, "Object");
    if (own === undefined) return plain(prefix === "Object " ? "" : prefix);
    return { ...partsOf(Reflect.apply(own, value, []), view), braces: [`${prefix}{`, "}"] };
  }
  switch (kind.name) {
    case "Array":
    case "TypedArray": {
      const items = kind.items;
      const prefix = prefixOf(value, "Array", items.length);
      const typed = kind.name === "TypedArray";
      const entries = [...showItems(items, inner, typed), ...properties(value, inner, isIndex)];
      return { base: "", braces: [`${typed || prefix !== `Array(${items.length}) ` ? prefix : ""}[`, "]"], entries };
    }
    case "Map": {
      const entries = cut(kind.entries, ([key, item]) => `${inner(key)} => ${inner(item)}`);
      return plain(prefixOf(value, "Map", kind.entries.length), entries);
    }
    case "Set":
      return plain(prefixOf(value, "Set", kind.items.length), cut(kind.items, inner));
    case "Error":
      return { ...plain(""), base: showError(value as Error), entries: properties(value, inner, isErrorKey) };
    case "Date":
    case "RegExp":
      return { ...plain(""), base: kind.text };
    case "Boxed":
      return {
        ...plain(""),
        base: `[${kind.type}: ${show(kind.value, view)}]`,
        entries: properties(value, inner, isIndex),
      };
    case "Function":
      return { ...plain(""), base: functionName(value) };
    case "ArrayBuffer":
      return plain(prefixOf(value, "ArrayBuffer"), [
        `[Uint8Contents]: <${kind.hex}>`,
        `[byteLength]: ${kind.byteLength}`,
      ]);
    default:
      return plain(prefixOf(value, kind.type), ["<items unknown>"]);
  }
}

const isIndex = (key: string | symbol): boolean => typeof key === "string" && /^(0|[1-9]\d{0,9})$/.test(key);
const isErrorKey = (key: string | symbol): boolean =>
  ["stack", "message", "name", "cause", "errors"].includes(key as string);

/** The first entries, and how many there are besides. */
function cut<Item>(items: readonly Item[], write: (item: Item) => string): string[] {
  const entries = items.slice(0, entriesMax).map(write);
  const left = items.length - entriesMax;
  if (left > 0) entries.push(`... ${left} more item${left > 1 ? "s" : ""}`);
  return entries;
}

function showItems(items: ArrayLike<unknown>, inner: (item: unknown) => string, typed: boolean): string[] {
  const entries: string[] = [];
  let at = 0;
  while (at < items.length && entries.length < entriesMax) {
    if (typed || Object.hasOwn(items, at)) {
      // Read as a descriptor: an element of an array can be a getter.
      const descriptor = typed ? { value: items[at] } : Object.getOwnPropertyDescriptor(items, at)!;
      entries.push("value" in descriptor ? inner(descriptor.value) : accessorName(descriptor));
      at += 1;
      continue;
    }
    const from = at;
    while (at < items.length && !Object.hasOwn(items, at) && at - from < 10_000_000) at += 1;
    entries.push(`<${at - from} empty item${at - from > 1 ? "s" : ""}>`);
  }
  const left = items.length - at;
  if (left > 0) entries.push(`... ${left} more item${left > 1 ? "s" : ""}`);
  return entries;
}

function properties(
  value: object,
  inner: (item: unknown) => string,
  left: (key: string | symbol) => boolean = () => false,
): string[] {
  const lines: string[] = [];
  for (const key of Reflect.ownKeys(value)) {
    if (left(key)) continue;
    const descriptor = Object.getOwnPropertyDescriptor(value, key);
    if (!descriptor?.enumerable) continue;
    const label = typeof key === "symbol" ? String(key) : /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key);
    lines.push(`${label}: ${"value" in descriptor ? inner(descriptor.value) : accessorName(descriptor)}`);
    if (lines.length > entriesMax) break;
  }
  return lines;
}

function accessorName({ get, set }: PropertyDescriptor): string {
  return get === undefined ? "[Setter]" : set === undefined ? "[Getter]" : "[Getter/Setter]";
}

/** Of prototypes whose `constructor` becomes an accessor when they are frozen. */
const builtInNames = new Map<object, string>(
  [Object, Function, ...errorClasses].map((made) => [made.prototype, made.name]),
);

/** "Name(size) [tag] ", by the nearest prototype that says whose it is. */
function prefixOf(value: object, fallback: string, size?: number): string {
  const count = size === undefined ? "" : `(${size})`;
  const tag = ownText(value, Symbol.toStringTag);
  for (let at: object | null = Object.getPrototypeOf(value); at !== null; at = Object.getPrototypeOf(at)) {
    const made = Object.getOwnPropertyDescriptor(at, "constructor")?.value as unknown;
    const name = builtInNames.get(at) ?? (typeof made === "function" ? ownText(made, "name") : "");
    if (name !== "") return `${name}${count} ${tag === "" || tag === name ? "" : `[${tag}] `}`;
  }
  return `[${fallback}${count}: null prototype] `;
}

/** A text that an object or its prototypes hold as plain data. */
function ownText(value: object, key: string | symbol): string {
  for (let at: object | null = value; at !== null; at = Object.getPrototypeOf(at)) {
    const descriptor = Object.getOwnPropertyDescriptor(at, key);
    if (descriptor === undefined) continue;
    return typeof descriptor.value === "string" && (at !== value || !descriptor.enumerable) ? descriptor.value : "";
  }
  return "";
}

const functionText = Function.prototype.toString;

function functionName(value: object): string {
  const name = ownText(value, "name");
  const isClass = Reflect.apply(functionText, value, []).startsWith("class");
  const shown = name === "" ? "(anonymous)" : name;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (isClass) {
    const parent = typeof prototype === "function" ? ownText(prototype, "name") : "";
    return `[class ${shown}${parent === "" ? "" : ` extends ${parent}`}]`;
  }
  const kind = prototype === null ? "Function (null prototype)" : prefixOf(value, "Function").split(" ")[0]!;
  return `[${kind}${name === "" ? " " : ": "}${shown}]`;
}

interface Layout {
  readonly base: string;
  readonly braces: [string, string];
  readonly depth: number;
  readonly view: View;
  readonly value: object;
}

/** One line when short and shallow, else one entry per line; long arrays in columns. */
function layOut(entries: string[], { base, braces, depth, view, value }: Layout): string {
  const [open, close] = [base === "" ? braces[0] : `${base} ${braces[0]}`, braces[1]];
  if (entries.length === 0) return open + close;
  const rows = close === "]" && entries.length >= groupedFrom ? inColumns(entries, view, value) : entries;
  if (rows === entries && view.lastDepth - depth < levelsOnOneLineMax) {
    const length = rows.reduce((sum, entry) => sum + entry.length, 2 * rows.length + view.indent + open.length + 10);
    if (length <= lineLengthMax && !rows.some((entry) => entry.includes("\n")))
      return `${open} ${rows.join(", ")} ${close}`;
  }
  const indentation = `\n${" ".repeat(view.indent)}`;
  return `${open}${indentation}  ${rows.join(`,${indentation}  `)}${indentation}${close}`;
}

/** Short entries side by side: numbers to the right, all else to the left. The entry that counts the rest stays last. */
function inColumns(entries: string[], view: View, value: object): string[] {
  const last = entries.at(-1)!;
  const extra = last.startsWith("... ") ? 1 : 0;
  const items = extra === 1 ? entries.slice(0, -1) : entries;
  const widths = items.map((entry) => entry.length + 2);
  const widest = Math.max(...widths);
  const total = widths.reduce((sum, width) => sum + width, 0);
  if (widest * 3 + view.indent >= lineLengthMax || (total / widest <= 5 && widest > 8)) return entries;
  const biased = Math.max(widest - 3 - Math.sqrt(widest - total / entries.length), 1);
  const columns = Math.min(
    Math.round(Math.sqrt(2.5 * biased * items.length) / biased),
    Math.floor((lineLengthMax - view.indent) / widest),
    columnsMax,
  );
  if (columns <= 1) return entries;
  const columnWidths = Array.from({ length: columns }, (_, column) => {
    let width = 0;
    for (let at = column; at < items.length; at += columns) width = Math.max(width, widths[at]!);
    return width;
  });
  const numbers =
    kindOf(value)?.name === "TypedArray" || items.every((entry) => /^-?([\d.e+-]+n?|NaN|Infinity)$/.test(entry));
  const rows: string[] = [];
  for (let at = 0; at < items.length; at += columns) {
    const row = items.slice(at, at + columns).map((entry, column, { length }) => {
      const text = column < length - 1 ? `${entry}, ` : entry;
      const width = columnWidths[column]!;
      if (numbers) return column < length - 1 ? text.padStart(width) : text.padStart(width - 2);
      return column < length - 1 ? text.padEnd(width) : text;
    });
    rows.push(row.join(""));
  }
  return extra === 1 ? [...rows, last] : rows;
}
