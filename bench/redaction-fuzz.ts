/**
 * The long fuzz run: random secrets, texts and cuts against the rules of test/redaction/checks.ts, some of them against
 * the naive redactor. `npm run fuzz:redaction [cases] [seed]`; prints failures with all that is needed to see them
 * again, and writes bench/results/redaction-fuzz.md when all of the ten million were run.
 *
 * A case is a text with its cuts. A batch of them shares secrets and options, and is made from the seed and its number
 * alone, so the run is the same however many threads share it.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { OracleSubject, Subject } from "../test/redaction/checks.ts";
import { randomOf } from "../test/redaction/cuts.ts";
import { randomSecrets, randomText } from "../test/redaction/generators.ts";

const BATCH = 100;
const RECORDED_CASES_MIN = 10_000_000;
const FAILURES_MAX = 10;
const REPORT_EVERY_BATCHES = 200;
/** One batch in so many is compared with the naive redactor, and one text in so many is written character by character. */
const ORACLE_EVERY = 8;
const BYTEWISE_EVERY = 8;

type Job = { cases: number; seed: number; first: number; step: number };
type Progress = { cases: number; compared: number; failures: string[] };

function runBatch(seed: number, batch: number): Progress {
  const random = randomOf(seed * 1_000_003 + batch);
  const secrets = randomSecrets(random);
  const options = {
    shortValues: random() < 0.5 ? "everywhere" : "policy",
    canonical: random() < 0.8,
    fragments: random() < 0.1,
  } as const;
  const oracle = batch % ORACLE_EVERY === 0 ? new OracleSubject(secrets, options.canonical) : undefined;
  const subject = oracle ?? new Subject(secrets, options);
  const failures: string[] = [];
  for (let i = 0; i < BATCH; i++) {
    const { text, cuts } = randomText(secrets, random);
    const broken = subject.brokenRule(text, cuts, i % BYTEWISE_EVERY === 0) ?? oracle?.differs(text);
    if (broken === undefined) continue;
    const settings = oracle === undefined ? options : { oracle: true, canonical: options.canonical };
    failures.push(`seed ${seed}, batch ${batch}: ${broken}\n${JSON.stringify({ secrets, text, cuts, settings })}`);
  }
  return { cases: BATCH, compared: oracle === undefined ? 0 : BATCH, failures };
}

function runJob({ cases, seed, first, step }: Job): void {
  let sum: Progress = { cases: 0, compared: 0, failures: [] };
  for (let batch = first; batch * BATCH < cases; batch += step) {
    const { compared, failures } = runBatch(seed, batch);
    sum.cases += BATCH;
    sum.compared += compared;
    sum.failures.push(...failures);
    if (sum.cases < REPORT_EVERY_BATCHES * BATCH && sum.failures.length === 0) continue;
    report(sum);
    sum = { cases: 0, compared: 0, failures: [] };
  }
  report(sum);
}

function report(progress: Progress): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port, not a window
  parentPort!.postMessage(progress);
}

function main(cases: number, seed: number): void {
  const started = performance.now();
  const threads = availableParallelism();
  const sum = { cases: 0, compared: 0, failures: 0 };
  let open = threads;
  const seconds = (): string => ((performance.now() - started) / 1000).toFixed(0);
  const finish = (): void => {
    const line = `${sum.cases} cases, ${sum.compared} of them compared with the naive redactor, seed ${seed}: ${sum.failures} failures, ${seconds()} s`;
    console.log(line);
    process.exitCode = sum.failures === 0 ? 0 : 1;
    if (sum.cases >= RECORDED_CASES_MIN) record(`npm run fuzz:redaction -- ${cases} ${seed}`, line);
  };
  for (let first = 0; first < threads; first++) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { cases, seed, first, step: threads } });
    worker.on("message", (progress: Progress) => {
      const before = sum.cases;
      sum.cases += progress.cases;
      sum.compared += progress.compared;
      sum.failures += progress.failures.length;
      for (const failure of progress.failures) console.log(failure);
      if (sum.failures >= FAILURES_MAX) {
        finish();
        process.exit();
      }
      if (Math.floor(before / 100_000) < Math.floor(sum.cases / 100_000))
        console.log(`${sum.cases} cases, ${seconds()} s`);
    });
    worker.on("exit", () => {
      if (--open === 0) finish();
    });
  }
}

function record(command: string, result: string): void {
  const machine = `${cpus()[0]!.model}, ${availableParallelism()} cores; Node ${process.version}; ${new Date().toISOString().slice(0, 10)}`;
  const text = `# The long fuzz run of the redactor\n\n\`${command}\`\n\n${machine}.\n\n${result}.\n`;
  writeFileSync(new URL("results/redaction-fuzz.md", import.meta.url), text);
}

if (isMainThread) main(Number(process.argv[2] ?? RECORDED_CASES_MIN), Number(process.argv[3] ?? 1));
else runJob(workerData as Job);
