/**
 * The forms in which a value is enumerated: one exact byte sequence for each way of writing it down. Which of them are
 * sought in which view is decided in needles.ts; what is too short or too common to be sought, in policy.ts.
 */

import { base64Cores, toBase64Url } from "./base64.ts";
import { escapedForms, quotedForms } from "./quoting.ts";
import { isSecretLine } from "./policy.ts";

export type Form = { readonly name: string; readonly bytes: Uint8Array };

const utf8 = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Derived values shorter than this are not sought: they are letters, not a value. */
const DERIVED_LENGTH_MIN = 6;

/** The value as text, or undefined when it is no UTF-8. */
export function textOf(value: Uint8Array): string | undefined {
  try {
    return decoder.decode(value);
  } catch {
    return undefined;
  }
}

/** The value itself and what counts as the value: without quotes or line ends around it, composed, line by line. */
export function plainForms(value: Uint8Array): Form[] {
  const text = textOf(value);
  if (text === undefined) return [{ name: "plain", bytes: value }];
  const forms = new Map<string, string>();
  const put = (name: string, form: string): void => {
    if (form !== "" && !forms.has(form)) forms.set(form, name);
  };
  const bare = text.replace(/^[\r\n]+/, "").replace(/[\r\n]+$/, "");
  put("plain", bare);
  put("plain", bare.trim());
  const unquoted = /^(["'`])(.+)\1$/s.exec(bare.trim())?.[2];
  if (unquoted !== undefined && unquoted.length >= 4) put("unquoted", unquoted);
  if (/\P{ASCII}/u.test(bare)) {
    for (const normal of ["NFC", "NFD"] as const) put(normal.toLowerCase(), bare.normalize(normal));
  }
  if (/[\r\n]/.test(bare)) {
    for (const line of bare.split(/[\r\n]+/)) if (isSecretLine(line)) put("line", line.trim());
    for (const leaf of jsonLeaves(bare)) put("line", leaf);
    if (bare.includes("\n")) put("plain", bare.replaceAll(/\r?\n/g, "\r\n"));
  }
  return [...forms].map(([form, name]) => ({ name, bytes: utf8.encode(form) }));
}

/** Every further way to write the value, those that a canonical view finds too. */
export function encodedForms(value: Uint8Array): Form[] {
  const forms: Form[] = [];
  const put = (name: string, form: string | Uint8Array): void => {
    forms.push({ name, bytes: typeof form === "string" ? utf8.encode(form) : form });
  };
  for (const { core, tail } of base64Cores(value)) {
    put("base64", core);
    put("base64", tail);
    if (/[+/]/.test(tail)) {
      put("base64url", toBase64Url(core));
      put("base64url", toBase64Url(tail));
    }
  }
  const hex = Buffer.from(value).toString("hex");
  put("hex", hex);
  put("hex", hex.toUpperCase());
  for (const separator of [":", " ", "-"]) {
    put("hex", hex.match(/../g)!.join(separator));
    put("hex", hex.toUpperCase().match(/../g)!.join(separator));
  }
  const text = textOf(value);
  if (text === undefined) return forms;
  for (const form of [...escapedForms(text), ...quotedForms(text)]) put(form.name, form.text);
  put("reversed", Array.from(text).reverse().join(""));
  for (const form of wideForms(text)) forms.push(form);
  return forms;
}

/** Forms that no canonical view finds, or finds under another name only. Empty for most values. */
export function textForms(text: string): Form[] {
  const forms = quotedForms(text).filter((form) => form.text !== text && form.text.length >= 4);
  return forms.map((form) => ({ name: form.name, bytes: utf8.encode(form.text) }));
}

export function wideForms(text: string): Form[] {
  const little = Buffer.from(text, "utf16le");
  return [
    { name: "utf16le", bytes: little },
    { name: "utf16be", bytes: Buffer.from(little).swap16() },
  ];
}

/** PowerShell prints the parts around an ampersand by themselves, and colours the letter behind `&+`. */
export function ampersandParts(text: string): string[] {
  const colored = text.indexOf("&+");
  const cut = colored === -1 ? text.lastIndexOf("&") + 1 : colored + 2;
  if (cut === 0) return [];
  const parts = [text.slice(0, cut), text.slice(colored === -1 ? cut : cut + 1)];
  return parts.filter((part) => part.length >= DERIVED_LENGTH_MIN);
}

/** The strings inside a value that is itself JSON: a service account's key is printed without its braces. */
function jsonLeaves(text: string): string[] {
  if (!/^\s*[[{]/.test(text)) return [];
  const leaves: string[] = [];
  try {
    JSON.parse(text, (_key, leaf: unknown) => {
      if (typeof leaf === "string" && isSecretLine(leaf)) leaves.push(leaf);
      return leaf;
    });
  } catch {
    return [];
  }
  return leaves;
}
