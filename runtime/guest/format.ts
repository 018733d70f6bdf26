/**
 * The arguments of a console call as one text: a first string may hold `%s %d %i %f %j %o %O %c %%`, all others follow
 * with blanks between, strings bare and values as inspect.ts shows them. Runs inside the isolate.
 */
import { inspect } from "./inspect.ts";
import { kindOf } from "./kind.ts";

export function formatLog(args: readonly unknown[]): string {
  const [first, ...rest] = args;
  if (typeof first !== "string" || rest.length === 0) return args.map(showArgument).join(" ");
  let used = 0;
  const text = first.replaceAll(/%([sdifjoOc%])/g, (whole, kind: string) => {
    if (kind === "%") return "%";
    if (used >= rest.length) return whole;
    return formatDirective(kind, rest[used++]);
  });
  return [text, ...rest.slice(used).map(showArgument)].join(" ");
}

const showArgument = (value: unknown): string => (typeof value === "string" ? value : inspect(value));

function formatDirective(kind: string, value: unknown): string {
  switch (kind) {
    case "s":
      return formatString(value);
    case "c":
      return "";
    case "j":
      return jsonOrReason(value);
    case "o":
    case "O":
      return inspect(value);
  }
  if (typeof value === "bigint" && kind !== "f") return `${value}n`;
  if (typeof value === "symbol" || (typeof value === "object" && kind !== "f")) return "NaN";
  const number =
    kind === "d" ? Number(value) : kind === "i" ? Number.parseInt(String(value)) : Number.parseFloat(textOf(value));
  return inspect(number);
}

/** `%s`: a text of the object's own where its class gives it one, else a short view. */
function formatString(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "function") return hasOwnText(value) ? textOf(value) : Reflect.apply(sourceText, value, []);
  if (typeof value !== "object" || value === null) return inspect(value);
  const text = kindOf(value) === undefined && hasOwnText(value) ? textOf(value) : undefined;
  return text ?? inspect(value, 0);
}

const sourceText = Function.prototype.toString;

/** Whether a class or object of the step's says how it reads as text. */
function hasOwnText(value: object): boolean {
  for (let at: object | null = value; at !== null; at = Object.getPrototypeOf(at)) {
    if (at === Object.prototype || at === Function.prototype) return false;
    if (Object.hasOwn(at, "toString")) return true;
  }
  return false;
}

function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "[Unreadable]";
  }
}

function jsonOrReason(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "undefined";
  } catch {
    return "[Circular]";
  }
}
