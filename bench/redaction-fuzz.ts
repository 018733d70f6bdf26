/**
 * The long fuzz run: random secrets, texts and cuts against the rules of test/redaction/checks.ts and the naive
 * redactor. `node bench/redaction-fuzz.ts [cases] [seed]`; prints the count, and the first case that breaks a rule.
 */
import { brokenRule, differsFromOracle } from "../test/redaction/checks.ts";
import { randomOf } from "../test/redaction/cuts.ts";
import { randomCase } from "../test/redaction/generators.ts";

const cases = Number(process.argv[2] ?? 10_000_000);
const seed = Number(process.argv[3] ?? 1);
const random = randomOf(seed);
const started = performance.now();

let failed = 0;
for (let i = 0; i < cases && failed < 5; i++) {
  const each = randomCase(random);
  const options = {
    shortValues: random() < 0.5 ? "everywhere" : "policy",
    canonical: random() < 0.8,
    fragments: random() < 0.1,
  } as const;
  const broken = brokenRule(each, options) ?? (i % 4 === 0 ? differsFromOracle(each, options.canonical) : undefined);
  if (broken !== undefined) {
    failed++;
    console.log(`case ${i}, seed ${seed}: ${broken}\n${JSON.stringify({ ...each, options })}`);
  }
  if ((i + 1) % 1_000_000 === 0) console.log(`${i + 1} cases`);
}
const seconds = (performance.now() - started) / 1000;
console.log(`${failed === 0 ? cases : "stopped"} cases, ${failed} failures, seed ${seed}, ${seconds.toFixed(0)} s`);
process.exitCode = failed === 0 ? 0 : 1;
