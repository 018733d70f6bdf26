/**
 * Which requests a step may send by its network policy: none, any, or those that a rule allows (protocol/network.ts).
 * Pure; says nothing about addresses. An error names what was missing, the answer names the rule that allowed it.
 */
import { StepvaultError } from "../../protocol/error.ts";
import type { NetworkPolicy } from "../../protocol/job.ts";
import { parseNetworkRule, ruleAllows } from "../../protocol/network.ts";

/** They make a tunnel, or show a request's own headers to whoever can read the answer. */
const refusedMethods = new Set(["CONNECT", "TRACE", "TRACK"]);

/** Of a long policy, a message shows so many. */
const rulesShownMax = 5;

/** The rule by which a request may be sent; "open" without one. Throws ERR_EGRESS_REFUSED. */
export function checkPolicy(
  policy: NetworkPolicy,
  { method, url }: { method: string; url: URL },
  whose: "step" | "project",
): string {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new StepvaultError("ERR_EGRESS_REFUSED", "Cannot send the request: only http and https are allowed");
  }
  if (refusedMethods.has(method.toUpperCase())) {
    throw new StepvaultError(
      "ERR_EGRESS_REFUSED",
      `Cannot send the request to ${url.host}: the methods ${[...refusedMethods].join(", ")} are not allowed`,
    );
  }
  if (url.username !== "" || url.password !== "") {
    throw new StepvaultError(
      "ERR_EGRESS_REFUSED",
      `Cannot send the request to ${url.host}: its URL holds credentials; use a header`,
    );
  }
  if (policy === "open") return policy;
  if (policy === "none") {
    throw new StepvaultError(
      "ERR_EGRESS_REFUSED",
      `Cannot reach ${url.host}: this ${whose}'s network policy is "none"`,
    );
  }
  const allowing = policy.find((text) => {
    const rule = parseNetworkRule(text);
    return rule !== undefined && ruleAllows(rule, method, url);
  });
  if (allowing !== undefined) return allowing;
  const shown = policy.slice(0, rulesShownMax).join("; ") + (policy.length > rulesShownMax ? "; …" : "");
  throw new StepvaultError(
    "ERR_EGRESS_REFUSED",
    `Cannot send ${method.toUpperCase()} to ${url.host}: none of the ${policy.length} rules of this ${whose}'s network policy allows it (${shown})`,
  );
}
