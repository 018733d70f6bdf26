/**
 * What the load consists of: steps of every kind, each with what must be true of its run when it ends by itself. Whatever
 * happens around it a run may also end by a fault of the system's; that is asked for elsewhere.
 */
import type { FinalStatus, JobInput, Json } from "../../protocol/job.ts";
import type { Random } from "./random.ts";

/** What the project's secret is called; its value is known to the deployment alone. */
export const secretName = "chaos_token";
const masked = `[REDACTED:${secretName}]`;

type Step = JobInput["step"];

/** One run to be asked for. */
export interface Wanted {
  readonly kind: string;
  readonly job: Omit<JobInput, "projectId">;
  readonly expected: Expected;
  /** How often it may tell the loopback server of itself; more often with attempts. */
  readonly effectsMax: number;
  readonly cancelAfterMs?: number;
}

export interface Expected {
  readonly status: readonly FinalStatus[];
  /** Of a run that succeeded. */
  readonly output?: Json;
  /** Everything that it printed, of a run that succeeded at its first attempt. */
  readonly text?: string;
}

const limits = { wallTimeMsMax: 120_000, cpuTimeMsMax: 60_000 };
const retry = { attemptsMax: 6, backoffMs: 500 };
const javascript = (code: string, more: object = {}): Step => ({ language: "javascript", code, limits, ...more });
const python = (code: string, more: object = {}): Step => ({ language: "python", code, limits, ...more });

export interface MakeOptions {
  /** Of the request; also the label by which its run is found. */
  readonly token: string;
  readonly effectsPort: number;
  readonly random: Random;
}

type Maker = (options: MakeOptions) => Omit<Wanted, "kind" | "job"> & { job: { step: Step } & Partial<JobInput> };

const lineCount = 200;
const lines = (prefix: string, secret = ""): string =>
  Array.from({ length: lineCount }, (_, i) => `${prefix} ${i}${i % 20 === 7 ? secret : ""}\n`).join("");
const succeeded = ["succeeded"] as const;
const tell = (port: number): string =>
  `await fetch("http://127.0.0.1:${port}/", {method: "POST", body: params.token});`;
const pause = (ms: number): string => `await new Promise((go) => setTimeout(go, ${ms}));`;
const network = (port: number): object => ({ network: [`POST http://127.0.0.1:${port}`] });

/** By kind, and how often each is wanted beside the others. */
const makers: Readonly<Record<string, readonly [weight: number, maker: Maker]>> = {
  quick: [
    6,
    ({ token }) => ({
      job: { step: javascript("return params.token") },
      expected: { status: succeeded, output: token },
      effectsMax: 0,
    }),
  ],
  effect: [
    4,
    ({ token, effectsPort, random }) => ({
      job: {
        step: javascript(
          `${pause(random.between(0, 2_000))} ${tell(effectsPort)} ${pause(random.between(0, 2_000))} return params.token`,
          network(effectsPort),
        ),
      },
      expected: { status: succeeded, output: token },
      effectsMax: 1,
    }),
  ],
  "effect with retry": [
    3,
    ({ token, effectsPort, random }) => ({
      job: {
        step: javascript(`${tell(effectsPort)} ${pause(random.between(0, 3_000))} return params.token`, {
          ...network(effectsPort),
          retry,
        }),
      },
      expected: { status: succeeded, output: token },
      effectsMax: 1,
    }),
  ],
  printing: [
    3,
    ({ token }) => ({
      job: {
        step: javascript(
          `const secret = "<<secrets.${secretName}>>";
for (let i = 0; i < ${lineCount}; i++) {
  console.log(params.token + " " + i + (i % 20 === 7 ? secret : ""));
  if (i % 10 === 0) ${pause(20)}
}
return secret.length > 0`,
        ),
      },
      expected: { status: succeeded, output: true, text: lines(token, masked) },
      effectsMax: 0,
    }),
  ],
  failing: [
    2,
    () => ({
      job: { step: javascript(`console.log("soon"); throw new Error("<<secrets.${secretName}>> is wrong")`) },
      expected: { status: ["failed"] },
      effectsMax: 0,
    }),
  ],
  slow: [
    2,
    ({ token, random }) => ({
      job: {
        step: javascript(
          `for (let i = 0; i < 10; i++) { console.log("tick", i); ${pause(random.between(100, 1_000))} } return params.token`,
        ),
      },
      expected: { status: succeeded, output: token },
      effectsMax: 0,
    }),
  ],
  cancelled: [
    1,
    ({ random }) => ({
      job: { step: javascript(`${pause(20_000)} return 1`) },
      expected: { status: ["cancelled", "succeeded"] },
      effectsMax: 0,
      cancelAfterMs: random.between(0, 3_000),
    }),
  ],
  delayed: [
    1,
    ({ token, random }) => ({
      job: { step: javascript("return params.token"), delayMs: random.between(500, 8_000) },
      expected: { status: succeeded, output: token },
      effectsMax: 0,
    }),
  ],
  python: [
    2,
    ({ token }) => ({
      job: { step: python('return params["token"]') },
      expected: { status: succeeded, output: token },
      effectsMax: 0,
    }),
  ],
  "python printing": [
    2,
    ({ token }) => ({
      job: {
        step: python(
          `secret = "<<secrets.${secretName}>>"
for i in range(${lineCount}):
    print(params["token"], str(i) + (secret if i % 20 == 7 else ""))
return len(secret) > 0`,
        ),
      },
      expected: { status: succeeded, output: true, text: lines(token, masked) },
      effectsMax: 0,
    }),
  ],
  "python effect": [
    1,
    ({ token, effectsPort }) => ({
      job: {
        step: python(
          `import urllib.request
urllib.request.urlopen(urllib.request.Request("http://127.0.0.1:${effectsPort}/", data=params["token"].encode(), method="POST")).read()
return params["token"]`,
          network(effectsPort),
        ),
      },
      expected: { status: succeeded, output: token },
      effectsMax: 1,
    }),
  ],
};

const bag = Object.entries(makers).flatMap(([kind, [weight]]) => Array.from({ length: weight }, () => kind));

export const kinds: readonly string[] = Object.keys(makers);

export function makeWanted(options: MakeOptions, kind: string = options.random.pick(bag)): Wanted {
  const entry = makers[kind];
  if (entry === undefined) throw new Error(`no such kind of run: ${kind}`);
  const { job, ...more } = entry[1](options);
  const { token } = options;
  return { kind, ...more, job: { params: { token }, labels: { request: token }, ...job } };
}

/** Three runs of which the later ones need the earlier ones' outputs. `runIds` are theirs. */
export function makeChain(
  tokens: readonly [string, string, string],
  runIds: readonly [string, string, string],
): Wanted[] {
  const [first, second, third] = runIds;
  const base = { params: {}, effectsMax: 0 };
  const job = (token: string, code: string, after?: Record<string, string>): Wanted["job"] => ({
    step: javascript(code),
    params: base.params,
    labels: { request: token },
    ...(after === undefined ? {} : { after }),
  });
  // One that it needs may end by a fault of the system's.
  const status = ["succeeded", "rejected"] as const;
  return [
    { kind: "needed", runId: first, token: tokens[0], code: "return 20", output: 20 },
    { kind: "needing", runId: second, token: tokens[1], code: "return steps.a + 1", output: 21, after: { a: first } },
    {
      kind: "needing",
      runId: third,
      token: tokens[2],
      code: "return steps.a + steps.b + 1",
      output: 42,
      after: { a: first, b: second },
    },
  ].map(({ kind, runId, token, code, output, after }) => ({
    kind,
    job: { ...job(token, code, after as Record<string, string> | undefined), runId },
    expected: { status: kind === "needed" ? succeeded : status, output },
    effectsMax: 0,
  }));
}
