/**
 * Speed of the redactor: `npm run bench:redaction` prints a table and writes bench/results/redaction.md. Figures are
 * compared within one run only.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { gzipSync } from "node:zlib";
import { scrub } from "@zapier/secret-scrubber";
import { Automaton } from "../redaction/automaton.ts";
import { createRedactor, type Redactor, type RedactorOptions, type Secret } from "../redaction/redactor.ts";

const { gc } = globalThis;
if (gc === undefined) throw new Error("Run it as npm run bench:redaction: memory is measured after a collection");
const collect = (): void => {
  gc();
};

const out: string[] = [];
const say = (line: string): void => {
  out.push(line);
  console.log(line);
};

const ROUNDS_MIN = 3;
const ROUNDS_MS = 1500;

const secrets = (count: number): Secret[] =>
  Array.from({ length: count }, (_, i) => ({ name: `S${i}`, value: randomBytes(24).toString("base64url") }));

/** Ordinary log lines of some 121 bytes, without any value. */
function logLines(count: number): string {
  const levels = ["INFO", "WARN", "DEBUG", "ERROR"];
  const verbs = ["connected to the database", "wrote the report", "retrying the request", "cache miss for the user"];
  return Array.from({ length: count }, (_, i) => {
    const id = ((i * 2_654_435_761) >>> 0).toString(16).padStart(8, "0");
    return `2026-11-21T02:15:${i % 60}.${i % 1000}Z ${levels[i % 4]} [worker-${i % 8}] ${verbs[i % 3]} id=${id} path=/api/v1/items?page=${i % 9} took ${i % 300} ms\n`;
  }).join("");
}

/** MB/s, the best of as many rounds as fit in a while, so that whatever is measured has been compiled. */
function rate(bytes: number, run: () => unknown): number {
  let best = Infinity;
  const end = performance.now() + ROUNDS_MS;
  for (let round = 0; round < ROUNDS_MIN || performance.now() < end; round++) {
    const started = performance.now();
    run();
    best = Math.min(best, performance.now() - started);
  }
  return bytes / 1000 / best;
}

/** As transform() reads: 64 KiB at a time, in pieces. */
function streamRate(redactor: Redactor, text: Buffer): number {
  return rate(text.length, () => {
    const stream = redactor.stream("bytes");
    for (let i = 0; i < text.length; i += 1 << 16) stream.pieces(text.subarray(i, i + (1 << 16)));
    stream.end();
  });
}

function automatonRate(list: readonly Secret[], text: Buffer): number {
  const automaton = new Automaton();
  for (const { value } of list) automaton.add(Buffer.from(value));
  automaton.link();
  return rate(text.length, () => {
    let state = 0;
    for (let i = 0; i < text.length; i++) state = automaton.step(state, text[i]!);
    return state;
  });
}

function median(run: () => unknown, rounds: number): number {
  const times = Array.from({ length: rounds }, () => {
    const started = process.hrtime.bigint();
    run();
    return Number(process.hrtime.bigint() - started) / 1000;
  });
  return times.sort((a, b) => a - b)[rounds >> 1]!;
}

// Before anything else is in memory.
collect();
const before = process.memoryUsage();
const kept = createRedactor(secrets(1000));
kept.text("x");
collect();
const after = process.memoryUsage();
const memory = (after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers) / 1e6;

const lines = logLines(60_000);
const text = Buffer.from(lines);
const shown = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toFixed(1));

say("# Speed of the redactor\n");
say(
  `${cpus()[0]!.model}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)}; Node ${process.version}; ${new Date().toISOString().slice(0, 10)}.`,
);
say(
  `\nOrdinary log lines without hits, ${(text.length / 60_000).toFixed(0)} bytes each, values of 32 characters, MB/s.\n`,
);
say(
  "| secrets | all forms and views | enumerated forms only | V8 RegExp, plain values | Aho-Corasick, plain values | build ms |",
);
say("|---|---|---|---|---|---|");

const ordinary = new Map<number, number>();
const expressions = new Map<number, number>();
const builds = new Map<number, number>();
let enumerated = 0;
for (const count of [1, 10, 100, 1000, 10_000]) {
  const list = secrets(count);
  const started = performance.now();
  const redactor = createRedactor(list);
  redactor.text("x");
  const build = performance.now() - started;
  builds.set(count, build);
  const all = streamRate(redactor, text);
  ordinary.set(count, all);
  const options: RedactorOptions = { canonical: false };
  const only = count <= 100 ? streamRate(createRedactor(list, options), text) : Number.NaN;
  if (count === 100) enumerated = only;
  const expression =
    count <= 1000 ? new RegExp(list.map((secret) => secret.value as string).join("|"), "g") : undefined;
  const plain = expression === undefined ? Number.NaN : rate(lines.length, () => lines.replace(expression, ""));
  expressions.set(count, plain);
  const cells = [all, only, plain, automatonRate(list, text), build].map((value) =>
    Number.isNaN(value) ? "-" : shown(value),
  );
  say(`| ${count} | ${cells.join(" | ")} |`);
}

const hundred = secrets(100);
const redactor = createRedactor(hundred);
const line = lines.slice(0, 200).padEnd(200, "x");
for (let i = 0; i < 2000; i++) redactor.text(line);
const latency = median(() => redactor.text(line), 20_000);
const absent = Buffer.from("absent-needle-0123456789abcdef01");
const indexOf = rate(text.length, () => text.indexOf(absent));
say("\n| target | measured | met |");
say("|---|---|---|");
const verdict = (target: string, value: number, least: number, unit: string, atMost = false): void =>
  say(`| ${target} | ${value.toFixed(2)} ${unit} | ${(atMost ? value <= least : value >= least) ? "yes" : "no"} |`);

// Line by line, as a logger calls it.
const part = lines.slice(0, 20_000).split("\n");
const values = hundred.map((secret) => secret.value as string);
const zapier = rate(20_000, () => part.map((each) => scrub(each, values)));
verdict("100 secrets: at least 100 times @zapier/secret-scrubber", ordinary.get(100)! / zapier, 100, "x");
verdict("100 secrets: not slower than the regular expression", ordinary.get(100)! / expressions.get(100)!, 1, "x");
verdict("1,000 secrets: at least 20 times that", ordinary.get(1000)! / expressions.get(1000)!, 20, "x");
verdict("10,000 secrets: at least a third of the speed at 100", ordinary.get(10_000)! / ordinary.get(100)!, 1 / 3, "x");
verdict("enumerated forms only: at least 0.1 of Buffer.indexOf", enumerated / indexOf, 0.1, "x");
verdict("a line of 200 bytes at 100 secrets: 5 us at the median", latency, 5, "us", true);
verdict("1,000 secrets in memory: 64 MB", memory, 64, "MB", true);
verdict("1,000 secrets built: 200 ms", builds.get(1000)!, 200, "ms", true);

say("\nAdversarial texts, as a part of the speed on ordinary lines (target: a tenth).\n");
say("| text | MB/s | part |");
say("|---|---|---|");
const sentence = "the quick brown fox jumps over ";
const hostile: [string, string, string][] = [
  ["a^4096 b on a...", `${"a".repeat(4096)}b`, "a"],
  ["chain of overlaps", "abababababab", "ab"],
  ["one escape after the other", "sk_live_TESTsecret123", "\\u0073\\u006b"],
  ["percent escapes", "sk_live_TESTsecret123", "%41%42"],
  ["entities", "sk_live_TESTsecret123", "&#115;&#x6b;&lt;"],
  ["backslashes", "sk_live_TESTsecret123", "\\"],
  ["random base64", "sk_live_TESTsecret123", randomBytes(60_000).toString("base64")],
  ["long base64 of text", "sk_live_TESTsecret123", Buffer.from(sentence.repeat(10_000)).toString("base64")],
  ["short runs of base64 of text", "sk_live_TESTsecret123", Buffer.from(sentence).toString("base64")],
  ["hexadecimal digits of text", "sk_live_TESTsecret123", "736b5f6c"],
  ["bombs of 20 kB in base64", "sk_live_TESTsecret123", `${gzipSync(Buffer.alloc(20_000, 97)).toString("base64")}\n`],
];
for (const [name, value, unit] of hostile) {
  const hard = createRedactor([{ name: "s", value }]);
  // As long as the ordinary lines, or what happens once for each stream would count for more.
  const size = name.startsWith("bombs") ? 400_000 : text.length;
  const bad = Buffer.from(unit.repeat(Math.ceil(size / unit.length)));
  const speed = streamRate(hard, bad);
  say(`| ${name} | ${shown(speed)} | ${(speed / ordinary.get(100)!).toFixed(2)} |`);
}

const below = out
  .filter((each) => each.endsWith("| no |") || /\| 0\.0\d \|$/.test(each))
  .map((each) => each.split("|")[1]!.trim());
say(`\nBelow target: ${below.length === 0 ? "nothing" : below.join("; ")}.`);
say("The price of looking into runs and views: text that is nothing but encoded text is read at that speed.");

mkdirSync(new URL("results/", import.meta.url), { recursive: true });
writeFileSync(new URL("results/redaction.md", import.meta.url), `${out.join("\n")}\n`);
