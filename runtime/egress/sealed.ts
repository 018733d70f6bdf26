/**
 * Puts the values of sealed secrets into a request, at the last moment before it leaves: each in the encoding of its
 * place, and only where and whither the secret's policy allows. A request that may not carry one is not sent at all:
 * with the placeholder it would only fail later and less clearly. Placeholders that nobody gave out stay as they are.
 */
import type { SecurityRecord } from "../../protocol/job.ts";
import { mayGoTo, type SecretPlaces } from "../../protocol/secret-policy.ts";
import type { SecretValue } from "../../protocol/secret.ts";
import type { SignOptions } from "../bridge/sign.ts";
import { type Hop, isHeaderValue, type SealedFields } from "./hop.ts";
import { type EgressSecrets, placeholderPattern } from "./secrets.ts";

/** A secret that may not go where it was to go; the broker makes it an error and a record. */
export class SealedRefusal extends Error {
  readonly reason: SecurityRecord["reason"];
  readonly secret: string;

  constructor(reason: SecurityRecord["reason"], secret: string, what: string) {
    super(what);
    this.reason = reason;
    this.secret = secret;
  }
}

export interface Filled {
  readonly hop: Hop;
  readonly fields: SealedFields;
}

type Sealed = EgressSecrets["sealed"];
/** A value as its place has it; undefined when it cannot stand there. */
type Encode = (value: string) => string | undefined;

interface Place {
  readonly name: string;
  allowed(places: SecretPlaces): boolean;
}

/** Throws SealedRefusal. `encrypted`: the connection is, or the operator has opened it as it is. */
export function fillPlaceholders(hop: Hop, sealed: Sealed, encrypted: boolean): Filled {
  const filler = new Filler(hop, sealed, encrypted);
  if (sealed.size === 0) return { hop, fields: filler.fields };
  filler.refuseIn(hop.url.host, "it cannot be a host");
  for (const [name] of hop.headers) filler.refuseIn(name, "it cannot be the name of a header");
  const url = fillUrl(hop.url, filler);
  const headers = hop.headers.map(([name, value]) => [name, fillHeader(name.toLowerCase(), value, filler)] as const);
  const body = hop.body === undefined ? undefined : fillBody(hop.body, hop.headers, filler);
  return { hop: { ...hop, url, headers, body }, fields: filler.fields };
}

/**
 * The key that a step wants something signed with: the value of a sealed secret, if its policy allows it, or else the
 * text itself, which the step holds anyway. Throws SealedRefusal.
 */
export function signingKey(key: string, options: SignOptions, sealed: Sealed): string {
  const secret = sealed.get(key);
  if (secret === undefined) return key;
  const { algorithm } = options;
  if (!secret.policy.places.sign.includes(algorithm))
    throw new SealedRefusal("place", secret.name, `its policy does not allow it to sign with ${algorithm}`);
  // What is signed for a host is as good there as the key is.
  if (algorithm === "aws-sigv4" && !mayGoTo(secret.policy, options.method, new URL(options.url)))
    throw new SealedRefusal("host", secret.name, `what it is to sign is for none of its hosts`);
  return secret.expose();
}

/** Replaces placeholders text by text, and keeps account of what was put where. */
class Filler {
  readonly fields = { names: new Set<string>(), url: false, headers: new Set<string>(), body: false };
  #hop: Hop;
  #sealed: Sealed;
  #encrypted: boolean;

  constructor(hop: Hop, sealed: Sealed, encrypted: boolean) {
    this.#hop = hop;
    this.#sealed = sealed;
    this.#encrypted = encrypted;
  }

  fill(text: string, place: Place, encode: Encode): string {
    return text.replaceAll(placeholderPattern, (placeholder) => {
      const secret = this.#sealed.get(placeholder);
      if (secret === undefined) return placeholder;
      this.#check(secret, place);
      const encoded = encode(secret.expose());
      if (encoded === undefined)
        throw new SealedRefusal("place", secret.name, `its value has characters that cannot stand in ${place.name}`);
      this.fields.names.add(secret.name);
      return encoded;
    });
  }

  /** A place where no secret can stand. What a URL does to the case of its host does not hide one. */
  refuseIn(text: string, why: string): void {
    for (const [placeholder] of text.toLowerCase().matchAll(placeholderPattern)) {
      const secret = this.#sealed.get(placeholder);
      if (secret !== undefined) throw new SealedRefusal("place", secret.name, why);
    }
  }

  #check({ name, policy }: SecretValue, place: Place): void {
    const { method, url } = this.#hop;
    if (!mayGoTo(policy, method, url))
      throw new SealedRefusal("host", name, `${method} ${url.host} is none of its hosts`);
    if (!this.#encrypted) throw new SealedRefusal("transport", name, "the connection is not encrypted");
    if (!place.allowed(policy.places))
      throw new SealedRefusal("place", name, `its policy does not allow it in ${place.name}`);
  }
}

function fillUrl(url: URL, filler: Filler): URL {
  const pathname = filler.fill(url.pathname, { name: "the path", allowed: ({ path }) => path }, encodePath);
  const search = filler.fill(url.search, { name: "the query", allowed: ({ query }) => query }, encodeURIComponent);
  if (pathname === url.pathname && search === url.search) return url;
  filler.fields.url = true;
  const filled = new URL(url);
  filled.pathname = pathname;
  filled.search = search;
  return filled;
}

function fillHeader(name: string, value: string, filler: Filler): string {
  const place: Place = {
    name: `the header ${name}`,
    allowed: ({ headers }) => headers.includes("*") || headers.includes(name),
  };
  const plain: Encode = (secret) => (isHeaderValue(secret) ? secret : undefined);
  const filled = fillBasic(name, value, filler) ?? filler.fill(value, place, plain);
  if (filled !== value) filler.fields.headers.add(name);
  return filled;
}

/** Undefined when the header is no basic authorization that holds a placeholder. */
function fillBasic(name: string, value: string, filler: Filler): string | undefined {
  const [, scheme, credentials] = /^(basic\s+)([A-Za-z0-9+/_-]+=*)\s*$/i.exec(value) ?? [];
  if (name !== "authorization" || scheme === undefined || credentials === undefined) return undefined;
  // Bytes as characters: what is not a placeholder stays as it is, whatever it is.
  const pair = Buffer.from(credentials, "base64").toString("latin1");
  const place: Place = { name: "basic authorization", allowed: ({ basic }) => basic };
  const filled = filler.fill(pair, place, (secret) => Buffer.from(secret).toString("latin1"));
  return filled === pair ? undefined : scheme + Buffer.from(filled, "latin1").toString("base64");
}

/**
 * How a value is written in a body of a kind; undefined where that is not known. Clients call JSON text or form when
 * they are not told what it is, so a body that is JSON is taken for that.
 */
function bodyEncoding(contentType: string, text: string): Encode | undefined {
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  if (/^(application|text)\/([a-z0-9.-]+\+)?json$|^application\/(x-ndjson|jsonl)$/.test(type)) return encodeJson;
  if (/^(application|text)\/([a-z0-9.-]+\+)?xml$|^text\/html$/.test(type)) return encodeXml;
  if (type === "multipart/form-data") return encodePart;
  if (type !== "application/x-www-form-urlencoded" && !type.startsWith("text/")) return undefined;
  if (isJson(text)) return encodeJson;
  return type.startsWith("text/") ? (value) => value : encodeForm;
}

/** By its two ends: to parse a large body would take the worker's time and memory. */
function isJson(text: string): boolean {
  return /^\s*[[{]/.test(text.slice(0, 1_000)) && /[\]}]\s*$/.test(text.slice(-1_000));
}

function fillBody(body: Buffer, headers: Hop["headers"], filler: Filler): Buffer {
  if (!body.includes("sealed_")) return body;
  const type = headers.find(([name]) => name.toLowerCase() === "content-type")?.[1] ?? "";
  // Bytes as characters: what is not a placeholder stays as it is, whatever it is.
  const text = body.toString("latin1");
  const encode = bodyEncoding(type, text);
  if (encode === undefined) {
    filler.refuseIn(text, "it can stand in a JSON, form, XML or text body, and the body's type says none of these");
    return body;
  }
  const filled = filler.fill(text, { name: "the body", allowed: (places) => places.body }, (value) => {
    const encoded = encode(value);
    return encoded === undefined ? undefined : Buffer.from(encoded).toString("latin1");
  });
  if (filled === text) return body;
  filler.fields.body = true;
  return Buffer.from(filled, "latin1");
}

const encodePath: Encode = (value) => value.split("/").map(encodeURIComponent).join("/");
/** A line end or a quote could end the part, or the name of one. */
const encodePart: Encode = (value) => (/[\r\n\0"]/.test(value) ? undefined : value);
const encodeForm: Encode = (value) => new URLSearchParams([["", value]]).toString().slice(1);
const encodeJson: Encode = (value) => JSON.stringify(value).slice(1, -1);
const encodeXml: Encode = (value) => value.replaceAll(/[&<>"'\r\n\t]/g, (character) => `&#${character.charCodeAt(0)};`);
