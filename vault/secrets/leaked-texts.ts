/**
 * What in a text that was found somewhere may be a value or a key: the text itself, its lines, what stands after `=` or `:`,
 * its words, and what these are when they were encoded. Pure; bounded, as the text may be a whole log.
 */
import { StepvaultError } from "../../protocol/error.ts";
import { scannerPattern } from "../platform-keys/key-format.ts";

const textBytesMax = 256 * 1024;
const candidatesMax = 20_000;
const charactersMin = 4;

/** Distinct texts to look for. Throws ERR_LEAK_TEXT_INVALID for one that is empty or too large. */
export function candidateValues(text: string): string[] {
  const bytes = Buffer.byteLength(text);
  if (text.trim() === "" || bytes > textBytesMax)
    throw invalid(`it has ${bytes} bytes, 1 to ${textBytesMax} are allowed, not all of them blanks`);
  const found = new Set<string>([text.trim()]);
  const add = (candidate: string): void => {
    const trimmed = candidate.trim();
    for (const form of [trimmed, unquote(trimmed)]) if (form.length >= charactersMin) found.add(form);
  };
  for (const line of text.split(/\r?\n/)) {
    add(line);
    for (const mark of ["=", ":", " "]) {
      const at = line.indexOf(mark);
      if (at !== -1) add(line.slice(at + 1));
    }
    for (const word of line.split(/[\s"'`<>(){}[\],;]+/)) {
      add(word);
      for (const part of word.split(/[=&?@/:]+/)) add(part);
      // Padding of base64 is what the line above takes for a mark.
      add(word.slice(word.search(/[=:]/) + 1));
    }
    if (found.size > candidatesMax)
      throw invalid(`it has more than ${candidatesMax} words; give the part that matters`);
  }
  for (const candidate of found) for (const decoded of decodings(candidate)) found.add(decoded);
  return [...found];
}

/** Platform keys in a text. */
export function candidateKeys(text: string): string[] {
  return [...new Set(text.match(new RegExp(scannerPattern, "g")))];
}

function unquote(text: string): string {
  return /^(["'`]).*\1$/s.test(text) ? text.slice(1, -1) : text;
}

/** One level: what was encoded twice is looked for decoded once by who found it. */
function decodings(text: string): string[] {
  const decoded: string[] = [];
  if (/%[0-9A-Fa-f]{2}/.test(text)) {
    try {
      decoded.push(decodeURIComponent(text));
    } catch {
      // Not percent encoding after all.
    }
  }
  if (/^[A-Za-z0-9+/_-]{8,}={0,2}$/.test(text)) decoded.push(...printable(Buffer.from(text, "base64")));
  if (/^(?:[0-9A-Fa-f]{2}){4,}$/.test(text)) decoded.push(...printable(Buffer.from(text, "hex")));
  // Basic authorization: user and password.
  return decoded.flatMap((one) =>
    one.includes(":") ? [one, one.slice(one.indexOf(":") + 1), one.split(":")[0]!] : [one],
  );
}

function printable(bytes: Buffer): string[] {
  const text = bytes.toString("utf8");
  return text.length >= charactersMin && !text.includes("\uFFFD") && !text.includes("\0") ? [text] : [];
}

function invalid(why: string): StepvaultError {
  return new StepvaultError("ERR_LEAK_TEXT_INVALID", `Cannot look for the leaked text: ${why}`);
}
