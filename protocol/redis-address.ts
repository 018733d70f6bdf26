/**
 * The forms that STEPVAULT_REDIS_URL may have: one server, a set that Sentinels watch, a Cluster. Settings are checked
 * with it and the queue connects by it, so that both mean the same. It is strict on purpose: what it does not know is no
 * address, and nothing of the text is ever in an error, as it may hold a password. Imports nothing of ours.
 */
import { isIPv6 } from "node:net";

export interface RedisServer {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface RedisLogin {
  /** Redis' own user `default` when absent. */
  readonly username: string | undefined;
  readonly password: string;
}

export interface RedisAddress {
  readonly kind: "single" | "sentinel" | "cluster";
  readonly tls: boolean;
  /** The one server, the Sentinels, or the nodes of a Cluster to ask first. */
  readonly servers: readonly RedisServer[];
  /** For the servers that hold data. */
  readonly login: RedisLogin | undefined;
  readonly database: number;
  /** What the Sentinels call the set, and the login for the Sentinels themselves. */
  readonly master: string | undefined;
  readonly sentinelLogin: RedisLogin | undefined;
}

export const redisAddressRule =
  "redis[s]://[USER:PASSWORD@]HOST[:PORT][/DATABASE], redis[s]-sentinel://…HOST[:PORT],HOST[:PORT]…[/DATABASE]?master=NAME or redis[s]-cluster://…HOST[:PORT],HOST[:PORT]…, with user and password percent-encoded";

const form = /^redis(s?)(-sentinel|-cluster)?:\/\/(?:([^@/?#\s]*)@)?([^@/?#\s]+)(?:\/(\d{0,4}))?(?:\?([^?#\s]+))?$/;
const serverForm = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?))(?::(\d{1,5}))?$/;
const masterForm = /^[A-Za-z0-9._-]{1,200}$/;
const serversMax = 100;

export function isRedisAddress(text: string): boolean {
  return parseRedisAddress(text) !== undefined;
}

/** What an address says, or undefined when it is none. */
export function parseRedisAddress(text: string): RedisAddress | undefined {
  const [matched, tls, scheme, login, list = "", database = "", query] = form.exec(text) ?? [];
  if (matched === undefined) return undefined;
  const kind = scheme === "-sentinel" ? "sentinel" : scheme === "-cluster" ? "cluster" : "single";
  const servers = parseServers(list, kind === "sentinel" ? 26_379 : 6_379);
  const parsedLogin = login === undefined ? undefined : parseLogin(login);
  const options = query === undefined ? {} : parseQuery(query);
  if (servers === undefined || parsedLogin === "wrong" || options === undefined) return undefined;
  if (kind === "single" && servers.length !== 1) return undefined;
  // A Cluster has no other database than 0.
  if (kind === "cluster" && Number(database) !== 0) return undefined;
  if (kind === "sentinel" ? !masterForm.test(options.master ?? "") : Object.keys(options).length > 0) return undefined;
  const { master, sentinelUser: username, sentinelPassword: password } = options;
  if (username !== undefined && password === undefined) return undefined;
  const sentinelLogin = password === undefined ? undefined : { username, password };
  return { kind, tls: tls === "s", servers, login: parsedLogin, database: Number(database), master, sentinelLogin };
}

/** The servers that an address names, as `host:port`; none for what is no address. */
export function redisServersOf(text: string | undefined): string[] {
  return (text === undefined ? undefined : parseRedisAddress(text))?.servers.map(serverText) ?? [];
}

/** `host:port`, with brackets around an IPv6 address, as URLs have them. */
export function serverText({ host, port }: RedisServer): string {
  return isIPv6(host) ? `[${host.toLowerCase()}]:${port}` : `${host.toLowerCase()}:${port}`;
}

function parseServers(list: string, defaultPort: number): RedisServer[] | undefined {
  const servers: RedisServer[] = [];
  for (const part of list.split(",")) {
    const [matched, ipv6, name, port] = serverForm.exec(part) ?? [];
    const host = ipv6 ?? name;
    const number = port === undefined ? defaultPort : Number(port);
    if (matched === undefined || host === undefined || (ipv6 !== undefined && !isIPv6(ipv6))) return undefined;
    if (number < 1 || number > 65_535) return undefined;
    servers.push({ host, port: number });
  }
  return servers.length > serversMax ? undefined : servers;
}

/** `user:password` or `:password`. A word alone may be meant as either, so it is neither. */
function parseLogin(text: string): RedisLogin | "wrong" {
  const colon = text.indexOf(":");
  const [username, password] = [decode(text.slice(0, colon)), decode(text.slice(colon + 1))];
  if (colon === -1 || username === undefined || password === undefined || password === "") return "wrong";
  return { username: username === "" ? undefined : username, password };
}

type QueryName = "master" | "sentinelUser" | "sentinelPassword";

/** By hand: URLSearchParams makes a blank of each plus, of which passwords in base64 have many. */
function parseQuery(query: string): Partial<Record<QueryName, string>> | undefined {
  const options: Partial<Record<QueryName, string>> = {};
  for (const part of query.split("&")) {
    const [, name, encoded = ""] = /^(master|sentinelUser|sentinelPassword)=(.+)$/.exec(part) ?? [];
    const value = decode(encoded);
    if (name === undefined || value === undefined || name in options) return undefined;
    options[name as QueryName] = value;
  }
  return options;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
