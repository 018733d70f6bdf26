/**
 * Which addresses a step may reach: global unicast ones. Every private, loopback, link-local, shared, multicast,
 * reserved, mapped or translated range is refused. A name is resolved once, all its addresses are checked, and the
 * connection is pinned to one of them, so that a second answer of the name server cannot change the target.
 */
import { lookup } from "node:dns/promises";
import ipaddr from "ipaddr.js";
import { StepvaultError } from "../../protocol/error.ts";

export interface PinnedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

/** True for an address that belongs to the public internet. */
export function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.parse(address).range() === "unicast";
}

/**
 * The address that a connection to this host must use. `hostname` is as WHATWG URL gives it, so numeric spellings of
 * IPv4 are normalised already. Throws ERR_EGRESS_REFUSED or ERR_EGRESS_FAILED.
 */
export async function pinAddress(
  hostname: string,
  { allowPrivate }: { allowPrivate: boolean },
): Promise<PinnedAddress> {
  const literal = hostname.replace(/^\[(.*)\]$/, "$1");
  const addresses = ipaddr.isValid(literal) ? [literal] : await resolve(hostname);
  // One private address among public ones is how a rebinding name looks: the whole name is refused.
  if (!allowPrivate && !addresses.every(isPublicAddress)) {
    throw new StepvaultError("ERR_EGRESS_REFUSED", `Cannot reach ${hostname}: its address is not a public one`);
  }
  const address = addresses[0] ?? "";
  return { address, family: ipaddr.parse(address).kind() === "ipv4" ? 4 : 6 };
}

async function resolve(hostname: string): Promise<string[]> {
  try {
    const found = await lookup(hostname, { all: true, order: "ipv4first" });
    if (found.length > 0) return found.map(({ address }) => address);
  } catch {
    // Told apart from a refusal below; the resolver's own text adds nothing.
  }
  throw new StepvaultError("ERR_EGRESS_FAILED", `Cannot reach ${hostname}: its name does not resolve`);
}
