/**
 * The client library for Node, Deno, Bun and browsers, without dependencies: a key and where it is used. This file is its
 * whole face; what it does not export is not for users. Imports nothing outside this folder, and nothing of Node.
 */
import type { Answer } from "./answer.ts";
import { type AnswerOf, Caller, type Given, type ItemOf, type ListId, type OperationId, type Rest } from "./caller.ts";
import { StepvaultClientError } from "./errors.ts";
import { credentialOf, Key, type KeyOptions } from "./key.ts";
import type { Region } from "./region.ts";
import { Runs } from "./runs.ts";
import { readSettings, type TransportOptions } from "./settings.ts";
import { Steps } from "./steps.ts";
import type { RequestOptions } from "./transport.ts";

export type { Answer } from "./answer.ts";
/** Every type of the API, by its name in the OpenAPI document: `Api.Run`, `Api.SecretInput`. */
export type * as Api from "./api-types.ts";
export type { CallOptions, Given, ListId, OperationId } from "./caller.ts";
export { type ClientErrorCode, type Problem, StepvaultApiError, StepvaultClientError } from "./errors.ts";
export { Key, type KeyFields, type KeyOptions, type KeySummary, type NewEmbedKey } from "./key.ts";
export type { Query } from "./path.ts";
export { type Region, REGION_AU, REGION_EU, REGION_US, setDefaultBaseUrl } from "./region.ts";
export type { RunFilter, Runs, SubmitOptions, WaitOptions } from "./runs.ts";
export type { RunStream, StreamOptions } from "./run-stream.ts";
export type { Fetch, TransportOptions } from "./settings.ts";
export type { StepCode, StepFilter, Steps, StepTestOptions } from "./steps.ts";
export type { RequestOptions } from "./transport.ts";

/** What `createClient` takes. */
export interface CreateClientOptions extends TransportOptions, KeyOptions {
  /** Of a server: `sk-…`. An embed key has more fields: make a `Key` of them. */
  readonly apiKey: string;
  readonly region: Region;
  readonly project: string;
}

/** The client that `default` gives, or "several", when which one is meant cannot be known. */
let defaultClient: Client | "several" | undefined;

export class Client {
  readonly key: Key;
  readonly baseUrl: string;
  readonly runs: Runs;
  readonly steps: Steps;
  readonly #caller: Caller;

  /** Throws ERR_CLIENT_INVALID, and ERR_KEY_INVALID for what is no `Key`. */
  constructor(key: Key, options: TransportOptions = {}) {
    credentialOf(key);
    this.key = key;
    const settings = readSettings(key.region, options);
    this.baseUrl = settings.base.href;
    this.#caller = new Caller(key, settings);
    this.runs = new Runs(this.#caller);
    this.steps = new Steps(this.#caller);
    Object.freeze(this);
  }

  /**
   * The one client that `createClient` made, or the one that `setDefault` was given. Throws ERR_CLIENT_DEFAULT when there
   * is none, and when there are several: to guess could act in another project.
   */
  static default(): Client {
    if (defaultClient instanceof Client) return defaultClient;
    const why =
      defaultClient === undefined
        ? "none was made; call createClient or Client.setDefault"
        : "several were made; use what createClient gave, or call Client.setDefault";
    throw new StepvaultClientError("ERR_CLIENT_DEFAULT", `Cannot give the default client: ${why}`);
  }

  static setDefault(client: Client): void {
    defaultClient = client;
  }

  /**
   * Calls an operation of the API and gives its answer: `client.call("getSecret", { secretName })`. The project is the key's
   * own unless `projectId` is given. docs/client.md has what it throws and what is repeated.
   */
  async call<Id extends OperationId>(operation: Id, ...given: Rest<Given<Id>>): Promise<AnswerOf<Id>> {
    return await this.#caller.call(operation, ...given);
  }

  /** All entries of a list, page after page: `for await (const secret of client.list("listSecrets"))`. */
  list<Id extends ListId>(operation: Id, ...given: Rest<Given<Id>>): AsyncGenerator<ItemOf<Id>, void> {
    return this.#caller.list(operation, ...given);
  }

  /** Sends a request to the client's own server, with the key; for the headers of its answer, or a route by its path. */
  async request<Body = unknown>(request: RequestOptions): Promise<Answer<Body>> {
    return await this.#caller.request<Body>(request);
  }

  /** Never the key, of whichever kind. */
  toJSON(): { readonly key: string; readonly project: string; readonly region: Region; readonly baseUrl: string } {
    const { hint, project, region } = this.key;
    return { key: hint, project, region, baseUrl: this.baseUrl };
  }

  toString(): string {
    return `Client(${this.key.hint})`;
  }
}

/**
 * The short way for one key. The first client made so is the default; one for the same key and server takes its place.
 * Throws what the constructors of `Key` and `Client` throw.
 */
export function createClient({ apiKey, region, project, ...options }: CreateClientOptions): Client {
  const client = new Client(new Key({ key: apiKey, region, project }, options), options);
  const replaces = defaultClient === undefined || (defaultClient !== "several" && isSame(defaultClient, client));
  defaultClient = replaces ? client : "several";
  return client;
}

function isSame(one: Client, other: Client): boolean {
  const [a, b] = [credentialOf(one.key), credentialOf(other.key)];
  return a.key === b.key && a.project === b.project && one.baseUrl === other.baseUrl;
}
