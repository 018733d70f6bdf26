/**
 * Which addresses a step may reach: global unicast ones. Every private, loopback, link-local, shared, multicast,
 * reserved, mapped or translated range is refused. A name is resolved once, all its addresses are checked, and the
 * connection is pinned to one of them, so that a second answer of the name server cannot change the target.
 */
import { promises as dns } from "node:dns";
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";
import type { EgressSettings } from "../../protocol/config.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { portOf } from "../../protocol/network.ts";

export interface PinnedAddress {
  readonly address: string;
  readonly family: 4 | 6;
}

interface PinOptions {
  /** An operator has opened this very host and port. */
  readonly allowPrivate: boolean;
  /** Who is asked for names, as `address[:port]`; the machine's own resolver when there is none. */
  readonly nameServers: readonly string[];
  /** Whether an address is one of the deployment's own servers, which are refused although they may be public. */
  readonly isOwn: (address: string) => boolean;
}

/** Names under which clouds hand credentials to their machines, whatever they resolve to. */
const metadataNames = new Set(["metadata", "metadata.google.internal", "metadata.goog", "instance-data"]);

/** Public by their range, and answered by the cloud's own machinery: Azure's WireServer. */
const cloudAddresses = new Set(["168.63.129.16"]);

const resolveTimeMsMax = 5_000;

/** True for an address that belongs to the public internet. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address) || cloudAddresses.has(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.range() !== "unicast") return false;
  // All of IPv6 that is given out for the public internet; the rest holds IPv4 in old disguises, or nothing.
  return parsed.kind() === "ipv4" || parsed.match(ipaddr.parse("2000::"), 3);
}

/** Whether the operator has opened the very host and port of a URL. */
export function isOpened(url: URL, { open }: Pick<EgressSettings, "open">): boolean {
  return open.includes(`${url.hostname}:${portOf(url)}`);
}

/** The address that a connection to a URL's host must use. Throws ERR_EGRESS_REFUSED or ERR_EGRESS_FAILED. */
export async function pinTarget(url: URL, settings: EgressSettings): Promise<PinnedAddress> {
  const own = await ownAddresses(portOf(url), settings.own);
  return await pinAddress(url.hostname, {
    allowPrivate: isOpened(url, settings),
    nameServers: settings.nameServers,
    isOwn: (address) => own.has(address),
  });
}

/** Addresses of those of the deployment's own servers that listen on this port, as this machine reaches them. */
async function ownAddresses(port: number, own: readonly string[]): Promise<ReadonlySet<string>> {
  const hosts = own.flatMap((pair) => {
    const url = URL.parse(`http://${pair}/`);
    return url !== null && portOf(url) === port ? [url.hostname.replace(/^\[(.*)\]$/, "$1")] : [];
  });
  // A name that does not resolve now is no reason to refuse what the step asks for.
  const found = await Promise.all(
    hosts.map(async (host) => (isIP(host) ? [host] : await resolveName(host, []).catch(() => []))),
  );
  return new Set(found.flat());
}

/**
 * The address that a connection to this host must use. `hostname` is as WHATWG URL gives it, so numeric spellings of
 * IPv4 are normalised already. Throws ERR_EGRESS_REFUSED or ERR_EGRESS_FAILED.
 */
async function pinAddress(hostname: string, { allowPrivate, nameServers, isOwn }: PinOptions): Promise<PinnedAddress> {
  const literal = hostname.replace(/^\[(.*)\]$/, "$1");
  const name = literal.replace(/\.$/, "");
  const refuse = (): never => {
    // One text for every reason, so that it does not tell what there is behind a name.
    throw new StepvaultError("ERR_EGRESS_REFUSED", `Cannot reach ${hostname}: its address is not a public one`);
  };
  if (!allowPrivate && metadataNames.has(name)) refuse();
  const addresses = ipaddr.isValid(literal) ? [literal] : await resolveName(name, nameServers);
  // One private address among public ones is how a rebinding name looks: the whole name is refused.
  const isOpen = (address: string): boolean => isPublicAddress(address) && !isOwn(address);
  if (!allowPrivate && !addresses.every(isOpen)) refuse();
  const address = addresses[0] ?? "";
  return { address, family: ipaddr.parse(address).kind() === "ipv4" ? 4 : 6 };
}

/** All addresses of a name, IPv4 first. Throws ERR_EGRESS_FAILED when there is none. */
async function resolveName(name: string, nameServers: readonly string[]): Promise<string[]> {
  const found = await (nameServers.length > 0 ? askServers(name, nameServers) : askMachine(name));
  if (found.length > 0) return found;
  throw new StepvaultError("ERR_EGRESS_FAILED", `Cannot reach ${name}: its name does not resolve`);
}

async function askMachine(name: string): Promise<string[]> {
  const found = await dns.lookup(name, { all: true, order: "ipv4first" }).catch(() => []);
  return found.map(({ address }) => address);
}

async function askServers(name: string, nameServers: readonly string[]): Promise<string[]> {
  const resolver = new dns.Resolver({ timeout: resolveTimeMsMax, tries: 1 });
  resolver.setServers(nameServers);
  const answers = await Promise.all([resolver.resolve4(name).catch(() => []), resolver.resolve6(name).catch(() => [])]);
  return answers.flat();
}
