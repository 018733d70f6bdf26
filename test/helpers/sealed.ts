/**
 * Servers for tests of sealed secrets: one that the secret is for, one that only the network policy allows, and one without
 * encryption under the first one's name, with a sandbox that reaches all three by names of the test's own.
 */
import { type SecretPolicyInput, secretPolicySchema } from "../../protocol/secret-policy.ts";
import { SecretValue } from "../../protocol/secret.ts";
import type { Sandbox } from "../../runtime/sandbox.ts";
import { expect } from "vitest";
import { startNameServer } from "./name-server.ts";
import { openTestSandbox, runStep, type StepOptions, type StepRun } from "./sandbox.ts";
import { startUpstream, testCaFile, type Upstream } from "./upstream.ts";

/** With whatever needs an encoding in some place of a request. */
export const sealedValue = "k1-Tv9&q<Zr\"7w+L/2=x%4y'Hö~p";
const everywhere = { headers: ["*"], basic: true, path: true, query: true, body: true };

export interface SealedWorld {
  readonly approved: Upstream;
  readonly other: Upstream;
  readonly plain: Upstream;
  readonly sandbox: Sandbox;
  /** Base URLs, for the steps. */
  readonly params: { approved: string; other: string; plain: string };
  /** The secret `key`, sealed for the approved server, for every place unless the policy says otherwise. */
  sealed(policy?: Partial<SecretPolicyInput>, value?: string): SecretValue;
  run(code: string, secret?: SecretValue, options?: RunOptions): Promise<StepRun>;
  /** Forgets what arrived so far. */
  reset(): void;
  close(): Promise<void>;
}

export interface RunOptions extends StepOptions {
  readonly language?: "javascript" | "python";
}

/** `open`: further servers that steps may reach, with what they are called in `params`. */
export async function startSealedWorld({
  open = [],
  ...more
}: { open?: readonly string[]; hold?: string } = {}): Promise<SealedWorld> {
  const upstreams = await Promise.all([startUpstream(), startUpstream(), startUpstream({ tls: false })]);
  const [approved, other, plain] = upstreams;
  const names = await startNameServer((name) => (name.endsWith(".test") ? ["127.0.0.1"] : undefined));
  const hosts = [`approved.test:${approved.port}`, `other.test:${other.port}`, `approved.test:${plain.port}`];
  const params = {
    approved: `https://${hosts[0]}`,
    other: `https://${hosts[1]}`,
    plain: `http://${hosts[2]}`,
    ...more,
  };
  const egress = { open: [...hosts.slice(0, 2), ...open], own: [], nameServers: [names.address], caFile: testCaFile };
  const sandbox = openTestSandbox([], 0, { isolation: "isolate", egress });
  const sealed: SealedWorld["sealed"] = (policy = {}, value = sealedValue) => {
    const { hosts: own = [`approved.test:${approved.port}`], places = everywhere } = policy;
    return new SecretValue("key", value, secretPolicySchema.parse({ sealed: true, hosts: own, places }));
  };
  return {
    approved,
    other,
    plain,
    sandbox,
    params,
    sealed,
    run: async (code, secret = sealed(), { language = "javascript", ...options } = {}) =>
      await runStep(sandbox, language, code, { params, secrets: { key: secret }, ...options }),
    reset(): void {
      for (const upstream of upstreams) upstream.take();
    },
    async close(): Promise<void> {
      await sandbox.close();
      names.close();
      for (const upstream of upstreams) upstream.close();
    },
  };
}

/** All that the step said or returned has no part of the value in it that would give it away. */
export function expectNothingOf(value: string, said: unknown): void {
  const text = JSON.stringify(said);
  const parts = [value, value.slice(0, 12), value.slice(-12), Buffer.from(value).toString("base64").slice(2, -4)];
  for (const part of parts) expect(text).not.toContain(JSON.stringify(part).slice(1, -1));
}

/** A call as a step that returns what came of it: status and text, or code and message. */
export const attempt = (call: string): string =>
  `try { const r = await ${call}; return [r.status, await r.text()] } catch (e) { return [e.code, e.message] }`;

export const securityOf = ({ events }: StepRun) => events.filter(({ kind }) => kind === "security");
