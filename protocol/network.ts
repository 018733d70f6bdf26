/**
 * The rules of a network policy: `[METHODS ][scheme://]host[:port]`. Methods are capitals with commas between them, a host
 * is exact or `*.domain` for everything below it. Without a port a rule means the default port of the scheme, so that an
 * allowed host's database is not allowed along with it. Pure; says nothing about addresses.
 */
import { z } from "zod";

export interface NetworkRule {
  readonly methods: readonly string[] | undefined;
  readonly scheme: "http" | "https" | undefined;
  /** Whether it means the hosts below this one. */
  readonly below: boolean;
  readonly host: string;
  readonly port: number | undefined;
}

const rulePattern =
  /^(?:([A-Z]+(?:,[A-Z]+)*) +)?(?:(https?):\/\/)?(\*\.)?([^:/?#@*,\s]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?$/;
const portMax = 65_535;

/** The rule that a text stands for; undefined when it is none. */
export function parseNetworkRule(text: string): NetworkRule | undefined {
  const [, methods, scheme, wildcard, name = "", port] = rulePattern.exec(text.trim()) ?? [];
  // As a URL would have it: lower case, Punycode, one spelling of each address.
  const host = URL.parse(`http://${name}/`)?.hostname;
  if (name === "" || host === undefined || host === "" || Number(port ?? 1) > portMax || Number(port ?? 1) === 0)
    return undefined;
  return {
    methods: methods?.split(","),
    scheme: scheme as NetworkRule["scheme"],
    below: wildcard !== undefined,
    host: withoutDot(host),
    port: port === undefined ? undefined : Number(port),
  };
}

export const networkRuleSchema = z
  .string()
  .max(300)
  .refine((text) => parseNetworkRule(text) !== undefined, "[METHODS ][scheme://]host[:port]");

/** Whether a rule lets a request pass. */
export function ruleAllows(rule: NetworkRule, method: string, url: URL): boolean {
  if (rule.methods !== undefined && !rule.methods.includes(method.toUpperCase())) return false;
  if (rule.scheme !== undefined && `${rule.scheme}:` !== url.protocol) return false;
  if (portOf(url) !== (rule.port ?? defaultPort(url))) return false;
  const hostname = withoutDot(url.hostname);
  return rule.below ? hostname.endsWith(`.${rule.host}`) : hostname === rule.host;
}

export function portOf(url: URL): number {
  return url.port === "" ? defaultPort(url) : Number(url.port);
}

const defaultPort = (url: URL): number => (url.protocol === "https:" ? 443 : 80);

/** A name with the dot of the root behind it is the same name. */
const withoutDot = (hostname: string): string => hostname.replace(/\.$/, "");
