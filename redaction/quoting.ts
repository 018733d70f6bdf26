/** How a text looks after escaping or quoting by the languages, shells and formats that log writers use. */

export type QuotedForm = { readonly name: string; readonly text: string };

const NEEDS_QUOTING = /[^A-Za-z0-9_.-]/;
const hex = (code: number, width: number): string => code.toString(16).padStart(width, "0");
const percentLower = (text: string): string => text.replaceAll(/%[0-9A-F]{2}/g, (escape) => escape.toLowerCase());

/** Forms that leave plain characters plain: only what the format reserves is changed. */
export function quotedForms(text: string): QuotedForm[] {
  if (!NEEDS_QUOTING.test(text)) return [];
  const forms: QuotedForm[] = [];
  const put = (name: string, ...quoted: string[]): void => {
    for (const form of quoted) forms.push({ name, text: form });
  };
  for (const encoded of percentForms(text)) put("percent", encoded, percentLower(encoded));
  const plus = percentForms(text)[0]!.replaceAll("%20", "+");
  put("form", plus, percentLower(plus), text.replaceAll(" ", "+"));
  const json = JSON.stringify(text).slice(1, -1);
  const ascii = json.replaceAll(/\P{ASCII}/gu, asciiUnits);
  put(
    "json",
    json,
    ascii,
    ascii.replaceAll(/\\u[0-9a-f]{4}/g, (escape) => `\\u${escape.slice(2).toUpperCase()}`),
  );
  put("json", json.replaceAll("/", "\\/"));
  put("json-twice", JSON.stringify(json).slice(1, -1), JSON.stringify(ascii).slice(1, -1));
  put("xml", ...entityForms(text));
  put("python", text.replaceAll("\\", "\\\\").replaceAll("'", "\\'").replaceAll("\n", "\\n").replaceAll("\t", "\\t"));
  put("shell", ...shellForms(text));
  put(
    "unescaped",
    text.replaceAll(/\\(.)/gs, (_, c: string) => UNESCAPED[c] ?? c),
    text.replaceAll(/\^(.)/gs, "$1"),
  );
  return forms;
}

/** Forms that change every character. Long, and found by the canonical views, so enumerated only without those. */
export function escapedForms(text: string): QuotedForm[] {
  const bytes = [...Buffer.from(text)];
  const units = Array.from(text, (c) => c.codePointAt(0)!);
  const each = (values: number[], write: (value: number) => string): string => values.map((v) => write(v)).join("");
  const spell = (name: string, values: number[], write: (value: number) => string): QuotedForm[] => [
    { name, text: each(values, write) },
    { name, text: each(values, (v) => write(v).replaceAll(/[a-f]/g, (digit) => digit.toUpperCase())) },
  ];
  const wide = Array.from({ length: text.length }, (_, i) => text.charCodeAt(i));
  return [
    { name: "percent", text: each(bytes, (b) => `%${hex(b, 2).toUpperCase()}`) },
    { name: "percent", text: each(bytes, (b) => `%${hex(b, 2)}`) },
    ...spell("escape", bytes, (b) => `\\x${hex(b, 2)}`),
    ...spell("escape", wide, (u) => `\\u${hex(u, 4)}`),
    ...spell("escape", units, (u) => `\\u{${hex(u, 1)}}`),
    ...spell("escape", units, (u) => `\\U${hex(u, 8)}`),
    ...spell("escape", units, (u) => `\\x{${hex(u, 1)}}`),
    { name: "escape", text: each(bytes, (b) => `\\${b.toString(8).padStart(3, "0")}`) },
    ...spell("xml", units, (u) => `&#x${hex(u, 1)};`),
    { name: "xml", text: each(units, (u) => `&#${u};`) },
  ];
}

const UNESCAPED: Record<string, string> = { n: "\n", r: "\r", t: "\t" };

const asciiUnits = (character: string): string =>
  Array.from({ length: character.length }, (_, i) => `\\u${hex(character.charCodeAt(i), 4)}`).join("");

function percentForms(text: string): string[] {
  const component = encodeURIComponent(text.toWellFormed());
  const strict = component.replaceAll(/[!'()*]/g, (c) => `%${hex(c.charCodeAt(0), 2).toUpperCase()}`);
  return [component, strict, encodeURI(text.toWellFormed())];
}

function entityForms(text: string): string[] {
  const named: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };
  const number = (c: string): string => `&#${c.codePointAt(0)!};`;
  const numberHex = (c: string): string => `&#x${c.codePointAt(0)!.toString(16)};`;
  return [
    text.replaceAll(/[&<>"']/g, (c) => named[c]!),
    text.replaceAll(/[&<>"']/g, (c) => (c === "'" ? "&#39;" : named[c]!)),
    text.replaceAll(/[&<>"']/g, (c) => (c === "'" || c === '"' ? number(c) : named[c]!)),
    text.replaceAll(/[&<>]/g, (c) => named[c]!),
    text.replaceAll(/[&<>"']|\P{ASCII}/gu, number),
    text.replaceAll(/[&<>"']|\P{ASCII}/gu, numberHex),
  ];
}

function shellForms(text: string): string[] {
  return [
    text.replaceAll("'", "'\\''"),
    text.replaceAll("'", `'"'"'`),
    text.replaceAll(/'+/g, (quotes) => `'"${quotes}"'`),
    text.replaceAll("'", "''"),
    text.replaceAll(/[^A-Za-z0-9_@%+=:,./-]/g, (c) => (c === "\n" ? "'\n'" : `\\${c}`)),
    text.replaceAll(/["\\$`]/g, (c) => `\\${c}`),
    text.replaceAll("'", "\\'"),
    text.replaceAll("$", "$$$$"),
    text.replaceAll(/[&|<>^()]/g, (c) => `^${c}`),
  ];
}
