/**
 * What other readers make of `.env` lines: a shell, `dotenv`, Node's own, python-dotenv and `docker --env-file`. The first three
 * are themselves. The last two are not installed by npm: they are their parsers, rule by rule (python-dotenv 1.2, docker CLI
 * 28), and were compared with the originals.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { parseEnv } from "node:util";
import dotenv from "dotenv";

/** Names and values; undefined when the reader refuses the whole file. */
export type Reader = (text: string) => Map<string, string> | undefined;

export const readDotenv: Reader = (text) => new Map(Object.entries(dotenv.parse(text)));
export const readNode: Reader = (text) =>
  new Map(Object.entries(parseEnv(text)).map(([name, value]) => [name, value ?? ""]));

/** What a shell's children find after `set -a; . file`, for real. */
export const readShell: Reader = (text) => {
  const folder = mkdtempSync(path.join(tmpdir(), "stepvault-test-"));
  try {
    const file = path.join(folder, "secrets.env");
    writeFileSync(file, text, { mode: 0o600 });
    const script = 'set -a; . "$0"; exec /usr/bin/env -0';
    const { status, stdout, stderr } = spawnSync("/bin/sh", ["-c", script, file], {
      cwd: folder,
      env: { HOME: "/nowhere" },
      encoding: "utf8",
      maxBuffer: 64 * 1024 * 1024,
    });
    if (status !== 0 || stderr !== "")
      throw new Error(`the shell ended with ${status} and ${stderr.length} characters`);
    if (readdirSync(folder).length !== 1) throw new Error("the shell ran a command of the file");
    const own = new Set(["HOME", "PWD", "OLDPWD", "SHLVL", "_"]);
    const pairs = stdout.split("\0").filter(Boolean).map(pairOf);
    return new Map(pairs.filter(([name]) => !own.has(name)));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

function pairOf(line: string): [string, string] {
  const at = line.indexOf("=");
  return [line.slice(0, at), line.slice(at + 1)];
}

/** Python's \s, which is not JavaScript's. */
const s = String.raw`\t-\r\x1c- \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`;
const python = Object.fromEntries(
  Object.entries({
    blanksAndLines: `[${s}]*`,
    blanks: `(?:(?![\\r\\n])[${s}])*`,
    export: `(?:export(?:(?![\\r\\n])[${s}])+)?`,
    quotedKey: "'([^']+)'",
    key: `([^=#${s}]+)`,
    single: String.raw`'((?:\\'|[^'])*)'`,
    double: String.raw`"((?:\\"|[^"])*)"`,
    unquoted: String.raw`([^\r\n]*)`,
    comment: `(?:(?:(?![\\r\\n])[${s}])*#[^\\r\\n]*)?`,
    lineEnd: `(?:(?![\\r\\n])[${s}])*(?:\\r\\n|\\n|\\r|$(?![\\s\\S]))`,
    restOfLine: String.raw`[^\r\n]*(?:\r|\n|\r\n)?`,
  }).map(([name, source]) => [name, new RegExp(source, "y")]),
) as Record<string, RegExp>;
const pythonEscapes: Record<string, string> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v" };

/** python-dotenv's `dotenv_values(file, interpolate=False)`; a file is opened as text, which makes every line's end \n. */
export const readPython: Reader = (input) => {
  const text = input.replaceAll(/\r\n?/g, "\n");
  const values = new Map<string, string>();
  let at = 0;
  const read = (name: string): string => {
    const pattern = python[name]!;
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    if (match === null) throw new Error(name);
    at = pattern.lastIndex;
    return match[1] ?? "";
  };
  while (at < text.length) {
    try {
      read("blanksAndLines");
      if (at >= text.length) break;
      read("export");
      const key = text[at] === "#" ? undefined : read(text[at] === "'" ? "quotedKey" : "key");
      read("blanks");
      let value: string | undefined;
      if (text[at] === "=") {
        at += 1;
        read("blanks");
        value = pythonValue(text[at], read);
      }
      read("comment");
      read("lineEnd");
      if (key !== undefined && value !== undefined) values.set(key, value);
    } catch {
      read("restOfLine");
    }
  }
  return values;
};

function pythonValue(first: string | undefined, read: (name: string) => string): string {
  const decode = (text: string, escapes: RegExp): string =>
    text.replaceAll(escapes, (_, letter: string) => pythonEscapes[letter] ?? letter);
  if (first === "'") return decode(read("single"), /\\([\\'])/g);
  if (first === '"') return decode(read("double"), /\\([\\'"abfnrtv])/g);
  if (first === undefined || first === "\n") return "";
  const trailing = new RegExp(`[${s}]+$`);
  return read("unquoted")
    .replaceAll(new RegExp(`[${s}]+#[^\\n]*`, "g"), "")
    .replace(trailing, "");
}

/** `docker run --env-file`: a line is an assignment, and one wrong line refuses the file. */
export const readDocker: Reader = (text) => {
  const values = new Map<string, string>();
  for (const ended of text.replace(/^\uFEFF/, "").split("\n")) {
    const raw = ended.replace(/\r$/, "");
    const line = raw.replace(/^[\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/, "");
    if (Buffer.byteLength(raw) >= 65_536) return undefined;
    if (line === "" || line.startsWith("#")) continue;
    const [name, value] = pairOf(line.includes("=") ? line : `${line}=`);
    if (name === "" || /[ \t]/.test(name)) return undefined;
    // Without a sign it is looked up in the environment of whoever runs docker; here there is none.
    if (line.includes("=")) values.set(name, value);
  }
  return values;
};
