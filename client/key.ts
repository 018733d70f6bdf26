/**
 * A platform key with its region and project. Where it goes is decided here: an object shows the hint, and the key itself
 * is kept beside it, where no console, copy or serializer looks. Only an embed key is written out, by `toJSON`, as it is
 * made for pages; an `sk-` key's owner has it where it came from. Checking a key needs no network, making an embed key does.
 */
import { isBrowser } from "./environment.ts";
import { StepvaultClientError } from "./errors.ts";
import { readKey } from "./key-form.ts";
import { ownFields } from "./own.ts";
import { checkRegion, type Region } from "./region.ts";
import { readSettings, type TransportOptions } from "./settings.ts";
import { type Credential, send } from "./transport.ts";

export interface KeyFields {
  readonly key: string;
  readonly region: Region;
  readonly project: string;
  /** Of an embed key: what it is for. */
  readonly agentId?: string | undefined;
  /** Wins over `agentId`. */
  readonly workforceId?: string | undefined;
  /** Of an embed key: what the names of its conversations begin with. */
  readonly taskPrefix?: string | undefined;
}

/** What `toJSON` leaves of an `sk-` key: enough to know it by, not to use it. */
export interface KeySummary {
  readonly key?: undefined;
  readonly hint: string;
  readonly region: Region;
  readonly project: string;
}

export interface KeyOptions {
  /** Lets an `sk-` key be used in a browser, where whoever opens the page can read it and act with it. */
  readonly dangerouslyAllowBrowser?: boolean | undefined;
}

export interface NewEmbedKey {
  /** A key that may start runs in the project. It is what the request is authenticated with. */
  readonly parent: Key;
  readonly agentId?: string | undefined;
  /** Wins over `agentId`. */
  readonly workforceId?: string | undefined;
  /** The pages that may use it, such as `https://shop.example`; any, if none are given. */
  readonly origins?: readonly string[] | undefined;
  readonly expiresAt?: Date | undefined;
  readonly requestsMax?: number | undefined;
  readonly requestsPerMinuteMax?: number | undefined;
}

/** The keys themselves. Consoles show the private fields of an object; they do not show this. */
const credentials = new WeakMap<Key, Credential>();

export class Key {
  readonly hint: string;
  readonly region: Region;
  readonly project: string;
  readonly agentId: string | undefined;
  readonly workforceId: string | undefined;
  readonly taskPrefix: string | undefined;

  /**
   * Options are apart from the fields: these may come out of a page's storage, which others can write to.
   * Throws ERR_KEY_MALFORMED, ERR_KEY_CHECKSUM, ERR_KEY_REGION, ERR_KEY_INVALID, ERR_KEY_BROWSER, ERR_CLIENT_INVALID.
   */
  constructor(fields: KeyFields | KeySummary, options: KeyOptions = {}) {
    const own = ownFields(fields);
    const { key, region, project } = own;
    if (key === undefined && "hint" in own)
      throw invalid("it is what toJSON() leaves of an sk- key; take the key from where it is kept");
    checkRegion(region);
    const { embed, hint } = readKeyOf(key, region);
    checkName(project, "project");
    this.hint = hint;
    this.region = region;
    this.project = project;
    const { agentId, workforceId, taskPrefix } = own;
    this.workforceId = workforceId;
    this.agentId = workforceId === undefined ? agentId : undefined;
    this.taskPrefix = taskPrefix;
    if (embed) checkScope(this);
    else if (agentId !== undefined || workforceId !== undefined || taskPrefix !== undefined)
      throw invalid(`${hint} reaches a whole project, and a scope or task prefix would hide that`);
    if (!embed && ownFields(options).dangerouslyAllowBrowser !== true && isBrowser())
      throw new StepvaultClientError(
        "ERR_KEY_BROWSER",
        `Cannot use the key ${hint}: this is a browser, where everybody could read it; use an embed key`,
      );
    credentials.set(this, { project, key: key!, hint });
    // What is checked stays so. It also keeps frameworks from putting a proxy around it, to which no key belongs.
    Object.freeze(this);
  }

  /**
   * Makes a key for one public agent or workforce, with one POST that is never repeated. Earlier keys go on working.
   * Throws ERR_KEY_INVALID, and what a request throws.
   */
  static async generateEmbedKey(wanted: NewEmbedKey, options: TransportOptions = {}): Promise<Key> {
    const { parent, agentId, workforceId, expiresAt, ...more } = ownFields(wanted);
    const credential = credentialOf(parent);
    if (parent.isEmbed()) throw invalid(`the embed key ${parent.hint} makes no further ones`);
    if (expiresAt !== undefined && !Number.isFinite(expiresAt.getTime())) throw invalid("its expiry is no date");
    const { region, project } = parent;
    const scope = workforceId === undefined ? { agentId } : { workforceId };
    checkName(workforceId ?? agentId, "agentId or workforceId");
    const { body } = await send<{ embed_key?: unknown; conversation_prefix?: unknown } | null>(
      readSettings(region, options),
      credential,
      {
        method: "POST",
        path: workforceId === undefined ? "/v1/agents/get_embed_key" : "/v1/workforce/get_embed_key",
        body: {
          agent_id: scope.agentId,
          workforce_id: scope.workforceId,
          project,
          origins: more.origins,
          expires_at: expiresAt?.toISOString(),
          requests_max: more.requestsMax,
          requests_per_minute_max: more.requestsPerMinuteMax,
        },
      },
    );
    const [key, taskPrefix] = [body?.embed_key as string, body?.conversation_prefix as string];
    return new Key({ key, region, project, ...scope, taskPrefix });
  }

  isEmbed(): boolean {
    return this.taskPrefix !== undefined;
  }

  /** All that the constructor needs to restore an embed key. Of an `sk-` key the hint, so that writing one to a log is safe. */
  toJSON(): KeyFields | KeySummary {
    const { hint, region, project, agentId, workforceId, taskPrefix } = this;
    if (!this.isEmbed()) return { hint, region, project };
    const scope = workforceId === undefined ? { agentId } : { workforceId };
    return { key: credentialOf(this).key, region, project, ...scope, taskPrefix };
  }

  toString(): string {
    return `Key(${this.hint})`;
  }
}

/** The one way to the key itself, for sending requests. Throws ERR_KEY_INVALID for what only looks like a Key. */
export function credentialOf(key: Key): Credential {
  const credential = credentials.get(key);
  if (credential === undefined) throw invalid("it was not made by the constructor Key, or is a copy or proxy of one");
  return credential;
}

function readKeyOf(key: unknown, region: Region): { embed: boolean; hint: string } {
  const read = readKey(key);
  if (!read.ok) {
    if (read.why === "malformed")
      throw new StepvaultClientError(
        "ERR_KEY_MALFORMED",
        "Cannot use the key: it does not have the form of a platform key",
      );
    throw new StepvaultClientError(
      "ERR_KEY_CHECKSUM",
      "Cannot use the key: its checksum does not fit; it was mistyped or cut",
    );
  }
  if (read.region === region) return read;
  const why = `it is of the region ${read.region}, and ${region} was given`;
  throw new StepvaultClientError("ERR_KEY_REGION", `Cannot use the key ${read.hint}: ${why}`);
}

function checkScope({ agentId, workforceId, taskPrefix }: Key): void {
  checkName(workforceId ?? agentId, "agentId or workforceId of an embed key");
  checkName(taskPrefix, "taskPrefix of an embed key");
}

/** Names go into headers and paths. What was given is not repeated: it may be a key in the wrong place. */
function checkName(name: unknown, what: string): void {
  const fits = typeof name === "string" && /^[0-9A-Za-z_-]{1,128}$/.test(name);
  if (!fits) throw invalid(`its ${what} is not 1 to 128 letters, digits, underscores or dashes`);
}

function invalid(why: string): StepvaultClientError {
  return new StepvaultClientError("ERR_KEY_INVALID", `Cannot make a key: ${why}`);
}
