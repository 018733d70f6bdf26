/**
 * Keeps values of secrets from leaving for hosts that are not theirs: looks into each request, in every form that the
 * redactor knows, before its host's name is even resolved. A sealed value is never let through to another host; what
 * happens to a readable one is the operator's to say. What a step cuts into pieces or transforms by a code of its own
 * is not found.
 */
import type { EgressGuard } from "../../protocol/settings.ts";
import type { SecurityRecord } from "../../protocol/job.ts";
import { mayGoTo } from "../../protocol/secret-policy.ts";
import type { Hop } from "./hop.ts";
import type { EgressSecrets } from "./secrets.ts";

export interface GuardFinding {
  /** Names of the secrets that the request holds. */
  readonly names: readonly string[];
  /** Those that are bound for a host that is not theirs. */
  readonly astray: readonly string[];
  readonly action: SecurityRecord["action"];
}

/** `encrypted`: the connection is, or the operator has opened it as it is. */
export async function inspectHop(
  hop: Hop,
  secrets: EgressSecrets,
  { guard, encrypted, signal }: { guard: EgressGuard | undefined; encrypted: boolean; signal: AbortSignal },
): Promise<GuardFinding> {
  const readable = [...secrets.policies].some(([, { sealed }]) => !sealed);
  if (secrets.sealed.size === 0 && (guard === "off" || !readable)) return { names: [], astray: [], action: "reported" };
  const { method, url, headers, body, location = "" } = hop;
  const lines = [`${method} ${url.href}`, location, ...headers.map(([name, value]) => `${name}: ${value}`)];
  // Headers hold bytes as characters; in a text they would be other bytes.
  const found = [...(await secrets.find(Buffer.from(lines.join("\n"), "latin1"), signal))];
  if (body !== undefined) found.push(...(await secrets.find(body, signal)));
  const names = [...new Set(found)];
  const verdicts = names.map((name) => [name, judge(name)] as const);
  const blocked = verdicts.filter(([, verdict]) => verdict === "blocked").map(([name]) => name);
  const reported = verdicts.filter(([, verdict]) => verdict === "reported").map(([name]) => name);
  if (blocked.length > 0) return { names, astray: blocked, action: "blocked" };
  return { names, astray: reported, action: "reported" };

  function judge(name: string): SecurityRecord["action"] | undefined {
    const policy = secrets.policies.get(name);
    if (policy === undefined) return undefined;
    const mayGo = mayGoTo(policy, method, url);
    if (policy.sealed) return mayGo && encrypted ? undefined : "blocked";
    if (policy.hosts.length === 0) return guard === "block" ? "blocked" : undefined;
    if (mayGo || guard === "off") return undefined;
    return guard === "report" ? "reported" : "blocked";
  }
}
