/**
 * Which hosts a step may reach by its policy: none, any, or a list of `host`, `*.host`, `host:port` and
 * `scheme://host[:port]`. Pure; says nothing about addresses. An error names the rule.
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { NetworkPolicy } from "../../protocol/job.ts";

const rulePattern = /^(?:(https?):\/\/)?(\*\.)?([^:/*\s]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/;

/** Throws ERR_EGRESS_REFUSED when the policy does not let this URL pass. */
export function checkPolicy(policy: NetworkPolicy, url: URL): void {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new StepvaultError("ERR_EGRESS_REFUSED", "Cannot send the request: only http and https are allowed");
  }
  if (url.username !== "" || url.password !== "") {
    throw new StepvaultError(
      "ERR_EGRESS_REFUSED",
      `Cannot send the request to ${url.host}: its URL holds credentials; use a header`,
    );
  }
  if (policy === "open") return;
  if (policy === "none") {
    throw new StepvaultError("ERR_EGRESS_REFUSED", `Cannot reach ${url.host}: this step's network policy is "none"`);
  }
  if (!policy.some((rule) => matches(rule, url))) {
    throw new StepvaultError(
      "ERR_EGRESS_REFUSED",
      `Cannot reach ${url.host}: none of the ${policy.length} rules of this step's network policy allows it`,
    );
  }
}

function matches(rule: string, url: URL): boolean {
  const parts = rulePattern.exec(rule.toLowerCase());
  if (parts === null) return false;
  const [, scheme, wildcard, host, port] = parts;
  if (scheme !== undefined && `${scheme}:` !== url.protocol) return false;
  if (port !== undefined && Number(port) !== portOf(url)) return false;
  return wildcard === undefined ? url.hostname === host : url.hostname.endsWith(`.${host}`);
}

export function portOf(url: URL): number {
  if (url.port !== "") return Number(url.port);
  return url.protocol === "https:" ? 443 : 80;
}
