/**
 * A value as a person reads it in a log: strings bare at the top, nested values in the manner of Node's util.inspect,
 * with `%s %d %i %f %j %o %O %c %%`. Bounded in depth, entries and length, because a log line is not an export; it
 * calls no getter and no user method. Runs inside the isolate.
 */

const depthMax = 6;
const entriesMax = 100;
const stringMax = 10_000;
const framesMax = 20;
const frameCharactersMax = 500;

export function formatLog(args: unknown[]): string {
  const [first, ...rest] = args;
  if (typeof first !== "string" || !first.includes("%")) return args.map(formatTop).join(" ");
  let used = 0;
  const text = first.replaceAll(/%([sdifjoOc%])/g, (whole, kind: string) => {
    if (kind === "%") return "%";
    if (used >= rest.length) return whole;
    return formatDirective(kind, rest[used++]);
  });
  return [text, ...rest.slice(used).map(formatTop)].join(" ");
}

function formatDirective(kind: string, value: unknown): string {
  if (kind === "s") return typeof value === "string" ? value : formatValue(value);
  if (kind === "c") return "";
  if (kind === "j") return jsonOrReason(value);
  if (kind === "o" || kind === "O") return formatValue(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "symbol" || typeof value === "object") return "NaN";
  const number = kind === "d" ? Number(value) : Number.parseFloat(String(value));
  return String(kind === "i" ? Math.trunc(number) : number);
}

function jsonOrReason(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "undefined";
  } catch {
    return "[Circular]";
  }
}

const formatTop = (value: unknown): string => (typeof value === "string" ? value : formatValue(value));

export function formatValue(value: unknown): string {
  try {
    return inspect(value, 0, []);
  } catch {
    // A proxy whose traps throw, or a stack too deep: the log line says so instead of failing the step.
    return "[Unreadable]";
  }
}

function inspect(value: unknown, depth: number, parents: object[]): string {
  switch (typeof value) {
    case "string":
      return quote(value.length > stringMax ? `${value.slice(0, stringMax)}…` : value);
    case "bigint":
      return `${value}n`;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "function":
      return inspectFunction(value);
    case "object":
      return value === null ? "null" : inspectObject(value, depth, parents);
    default:
      return String(value);
  }
}

function inspectFunction(value: object): string {
  const name = Object.getOwnPropertyDescriptor(value, "name")?.value as unknown;
  return typeof name === "string" && name !== "" ? `[Function: ${name}]` : "[Function (anonymous)]";
}

function quote(text: string): string {
  const mark = !text.includes("'") ? "'" : text.includes('"') ? "`" : '"';
  const escaped = text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r").replaceAll("\t", "\\t");
  return mark + escaped + mark;
}

function inspectObject(value: object, depth: number, parents: object[]): string {
  if (parents.includes(value)) return "[Circular]";
  if (value instanceof Error) return formatError(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString();
  if (value instanceof RegExp) return RegExp.prototype.toString.call(value);
  if (value instanceof Promise) return "Promise {}";
  const name = constructorName(value);
  if (depth >= depthMax) return Array.isArray(value) ? "[Array]" : `[${name || "Object"}]`;
  const inner = [...parents, value];
  const show = (item: unknown): string => inspect(item, depth + 1, inner);
  if (Array.isArray(value)) return list("[", value.map(show), "]", "");
  if (value instanceof Map) {
    return list(
      "{",
      [...value].map(([key, item]) => `${show(key)} => ${show(item)}`),
      "}",
      `Map(${value.size}) `,
    );
  }
  if (value instanceof Set) return list("{", [...value].map(show), "}", `Set(${value.size}) `);
  if (ArrayBuffer.isView(value) && !(value instanceof DataView)) {
    const items = Array.from(value as unknown as ArrayLike<number>);
    return list("[", items.slice(0, entriesMax + 1).map(String), "]", `${name}(${items.length}) `);
  }
  return list("{", properties(value, show), "}", name === "Object" || name === "" ? "" : `${name} `);
}

function properties(value: object, show: (item: unknown) => string): string[] {
  const lines: string[] = [];
  for (const key of Reflect.ownKeys(value)) {
    const descriptor = Object.getOwnPropertyDescriptor(value, key);
    if (!descriptor?.enumerable) continue;
    const label = typeof key === "symbol" ? `[${String(key)}]` : /^[A-Za-z_$][\w$]*$/.test(key) ? key : quote(key);
    lines.push(`${label}: ${"value" in descriptor ? show(descriptor.value) : "[Getter]"}`);
    if (lines.length > entriesMax) break;
  }
  return lines;
}

function list(open: string, items: string[], close: string, prefix: string): string {
  if (items.length === 0) return `${prefix}${open}${close}`;
  const shown = items.slice(0, entriesMax);
  if (items.length > entriesMax) shown.push("… more");
  const oneLine = shown.join(", ");
  if (oneLine.length <= 100 && !oneLine.includes("\n")) {
    return open === "[" ? `${prefix}[ ${oneLine} ]` : `${prefix}{ ${oneLine} }`;
  }
  return `${prefix}${open}\n${shown.map((item) => `  ${item.replaceAll("\n", "\n  ")}`).join(",\n")}\n${close}`;
}

function constructorName(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === null) return "[Object: null prototype]";
  const made = Object.getOwnPropertyDescriptor(prototype, "constructor")?.value as unknown;
  const name =
    typeof made === "function" ? (Object.getOwnPropertyDescriptor(made, "name")?.value as unknown) : undefined;
  return typeof name === "string" ? name : "Object";
}

/** Name, message and the user's own frames. */
function formatError(error: Error): string {
  const { name, message, stack } = describeError(error);
  const head = message === "" ? name : `${name}: ${message}`;
  const cause = Object.getOwnPropertyDescriptor(error, "cause")?.value as unknown;
  const causeText =
    cause instanceof Error && cause !== error
      ? `\n  [cause]: ${describeError(cause).name}: ${describeError(cause).message}`
      : "";
  return (stack === "" ? head : `${head}\n${stack}`) + causeText;
}

export interface ErrorDescription {
  name: string;
  message: string;
  /** Frames of the step only, one per line, "    at …". */
  stack: string;
  line?: number;
  column?: number;
}

/** What a thrown thing says of itself. Every property of it belongs to the step, so each is read with care. */
export function describeError(thrown: unknown): ErrorDescription {
  if (typeof thrown !== "object" || thrown === null) {
    return {
      name: "Error",
      message: `thrown ${typeof thrown === "string" ? thrown : inspect(thrown, 0, [])}`,
      stack: "",
    };
  }
  const name = readText(thrown, "name") || "Error";
  const message = readText(thrown, "message");
  const frames = readText(thrown, "stack")
    .split("\n")
    .filter((line) => /^\s+at .*step\.js:\d+:\d+/.test(line));
  const at = /step\.js:(\d+):(\d+)/.exec(frames[0] ?? "");
  return {
    name: name.slice(0, 200),
    message: message.slice(0, stringMax),
    stack: frames
      .slice(0, framesMax)
      .map((frame) => frame.slice(0, frameCharactersMax))
      .join("\n"),
    ...(at ? { line: Number(at[1]), column: Number(at[2]) } : {}),
  };
}

function readText(thrown: object, key: string): string {
  try {
    const value: unknown = Reflect.get(thrown, key);
    return typeof value === "string" ? value : "";
  } catch {
    return "";
  }
}
