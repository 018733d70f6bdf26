/**
 * Faults at random against real processes under a mixed load, and the ledger of what came of it. Prints per backend what was
 * accepted, ended, lost and doubled, and how long it took to serve again after each fault; exit code 1 if anything is
 * wrong. The same seed does the same things in the same order; when they take effect is up to the machine. See docs/chaos.md.
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { setTimeout as sleep } from "node:timers/promises";
import { type Backend, backends, type Deployment, startDeployment } from "../test/chaos/deployment.ts";
import { faults } from "../test/chaos/faults.ts";
import { createRandom, type Random } from "../test/chaos/random.ts";
import { isWell, reportText, Storm } from "../test/chaos/storm.ts";

const paceMs = [150, 450] as const;
const pauseMs = [2_000, 9_000] as const;
/** More than what a small machine gets done meanwhile is no load but a queue. */
const openRunsMax = 150;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    backend: { type: "string", default: "postgres" },
    only: { type: "string" },
    keep: { type: "boolean", default: false },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
const wanted = values.backend === "all" ? backends : backends.filter((backend) => backend === values.backend);
const known = values.only === undefined || values.only.split(",").every((name) => name in faults);
if (!(minutes > 0) || !Number.isSafeInteger(seed) || wanted.length === 0 || !known) {
  say(
    `--minutes N --seed N --backend ${backends.join("|")}|all --keep --only FAULT,FAULT of: ${Object.keys(faults).join(", ")}`,
  );
  process.exit(2);
}

const stopped = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopped.abort());
let well = true;
for (const backend of wanted) if (!stopped.signal.aborted) well = (await storm(backend)) && well;
// Requests may still be under way when it was interrupted.
process.exit(well ? 0 : 1);

async function storm(backend: Backend): Promise<boolean> {
  say(`${backend}: ${minutes} minutes, seed ${seed}`);
  const deployment = await startDeployment({ backend, keepLogs: values.keep });
  if (values.keep) say(`  logs in ${deployment.logs}`);
  try {
    const random = createRandom(seed);
    const whole = new Storm(deployment, random);
    const end = performance.now() + minutes * 60_000;
    const interrupted = once(stopped.signal, "abort");
    const done = Promise.all([load(deployment, { whole, random, end }), harm(deployment, { whole, random, end })]);
    await Promise.race([done, interrupted]);
    if (stopped.signal.aborted) return false;
    const report = await whole.end();
    say(reportText(report));
    return isWell(report);
  } finally {
    await deployment.close();
  }
}

interface StormParts {
  readonly whole: Storm;
  readonly random: Random;
  readonly end: number;
}

async function load({ database }: Deployment, { whole, random, end }: StormParts): Promise<void> {
  let open = 0;
  for (let asked = 0; performance.now() < end; asked += 1) {
    if (asked % 10 === 0) {
      const answer = await database
        .query<{ open: number }>("select count(*)::int as open from runs where ended_at is null")
        .catch(() => undefined);
      open = answer?.rows[0]?.open ?? open;
    }
    if (open + whole.load.waiting < openRunsMax) whole.load.more();
    await sleep(random.between(...paceMs));
  }
}

/** Every fault that there is here, in another order each time, some at once. */
async function harm(deployment: Deployment, { whole, random, end }: StormParts): Promise<void> {
  const names = Object.keys(faults).filter((name) => values.only?.split(",").includes(name) ?? true);
  for (const name of names) {
    const why = faults[name]?.missing?.(deployment);
    if (why !== undefined) say(`  not here: ${name}, as ${why}`);
  }
  const here = names.filter((name) => faults[name]?.missing?.(deployment) === undefined);
  const under = new Map<string, Promise<void>>();
  const began = performance.now();
  let left: string[] = [];
  while (performance.now() < end) {
    await sleep(random.between(...pauseMs));
    if (left.length === 0) left = random.shuffled(here);
    const name = left.pop();
    if (name === undefined || performance.now() > end) break;
    const part = faults[name]!.part;
    // What concerns all of it waits for all that is under way.
    await Promise.all([...under].flatMap(([other, done]) => (part === "all" || part === other ? done : [])));
    say(`  ${((performance.now() - began) / 1_000).toFixed(0).padStart(4)} s  ${name}`);
    const done = whole.hurt(name).finally(() => under.delete(part));
    under.set(part, done);
    if (part === "all") await done;
  }
  await Promise.all(under.values());
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
