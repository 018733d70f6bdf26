/**
 * The settings of a Stepvault process, read once from STEPVAULT_* variables and handed down frozen. A wrong start
 * lists every wrong key with its rule, and never a value: an operator may have pasted a key into the wrong field.
 * Imports nothing of ours beyond this folder.
 */
import type { z } from "zod";
import { type ApiSettings, apiSettingsOf } from "./api-settings.ts";
import { StepvaultError } from "./error.ts";
import { limitNames, type Limits } from "./limits.ts";
import { oidcFaults, type OidcSettings } from "./oidc.ts";
import { redisServersOf } from "./redis-address.ts";
import {
  type EgressGuard,
  type IsolationMode,
  maximaSchema,
  maximumKeys,
  settingShapes,
  settingsSchema,
  splitList,
} from "./settings.ts";

/** How sandbox hosts are kept and shared. */
export interface HostSettings {
  readonly isolation: IsolationMode;
  readonly hostsIdleMax: number;
  readonly hostsMax: number;
  readonly hostRunsMax: number;
  readonly hostAgeMsMax: number;
  readonly hostIdleMsMax: number;
}

/** Where steps may send requests, beyond what their own policies say; servers are `host:port`. */
export interface EgressSettings {
  /** Private servers that steps may reach. */
  readonly open: readonly string[];
  /** The deployment's own, which none may reach. */
  readonly own: readonly string[];
  /** Who is asked for names, as `address[:port]`; the machine's own resolver when there is none. */
  readonly nameServers: readonly string[];
  /** PEM file of certificate authorities that are trusted besides the public ones. */
  readonly caFile?: string | undefined;
  /** What happens to a readable secret's value on its way to another host; by the secret's own list when absent. */
  readonly guard?: EgressGuard | undefined;
}

export interface Config {
  readonly dataDir: string;
  readonly databaseUrl: string | undefined;
  readonly databaseConnectionsMax: number;
  readonly redisUrl: string | undefined;
  readonly masterKey: string | undefined;
  readonly masterKeyNext: string | undefined;
  readonly kms: string | undefined;
  readonly kmsEndpoint: string | undefined;
  readonly kmsNext: string | undefined;
  readonly kmsNextEndpoint: string | undefined;
  readonly kmsTokenFile: string;
  readonly secretSourcesFile: string | undefined;
  /** What stands before an organization's own credentials. */
  readonly gates: { readonly planGate: boolean; readonly rolloutGate: boolean };
  /** Who says who people are; nobody but sign-in links when absent. */
  readonly oidc: OidcSettings | undefined;
  readonly region: "us" | "eu" | "au";
  readonly logLevel: string;
  readonly workerConcurrency: number;
  readonly shutdownMsMax: number;
  readonly retentionDays: number;
  readonly hosts: HostSettings;
  readonly sandboxLayers: "prefer" | "require";
  readonly javascriptPackages: string | undefined;
  readonly egress: EgressSettings;
  readonly pythonPackages: string | undefined;
  readonly limitMaxima: Limits;
  readonly api: ApiSettings;
}

/** Reads the settings from an environment. Throws ERR_CONFIG_INVALID listing every wrong or unknown key at once. */
export function parseConfig(environment: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.entries(environment).filter(
    ([key, value]) => key.startsWith("STEPVAULT_") && value !== undefined,
  );
  const problems = given.filter(([key]) => !(key in settingShapes)).map(([key]) => `${key}: no such setting`);
  const parsed = settingsSchema.safeParse(Object.fromEntries(given));
  const parsedMaxima = maximaSchema.safeParse(Object.fromEntries(given));
  const issues = [...(parsed.error?.issues ?? []), ...(parsedMaxima.error?.issues ?? [])];
  problems.push(...issues.map((issue) => `${String(issue.path[0])}: must be ${ruleOf(issue)}`));
  problems.push(...oidcFaults(Object.fromEntries(given)));
  if (problems.length > 0 || !parsed.success || !parsedMaxima.success) {
    throw new StepvaultError(
      "ERR_CONFIG_INVALID",
      `Cannot start: ${problems.length} wrong setting(s): ${problems.join("; ")}`,
    );
  }
  const settings = parsed.data;
  const maxima: Record<string, number> = parsedMaxima.data;
  return Object.freeze({
    dataDir: settings.STEPVAULT_DATA_DIR,
    databaseUrl: settings.STEPVAULT_DATABASE_URL,
    databaseConnectionsMax: settings.STEPVAULT_DATABASE_CONNECTIONS_MAX,
    redisUrl: settings.STEPVAULT_REDIS_URL,
    masterKey: settings.STEPVAULT_MASTER_KEY,
    masterKeyNext: settings.STEPVAULT_MASTER_KEY_NEXT,
    kms: settings.STEPVAULT_KMS,
    kmsEndpoint: settings.STEPVAULT_KMS_ENDPOINT,
    kmsNext: settings.STEPVAULT_KMS_NEXT,
    kmsNextEndpoint: settings.STEPVAULT_KMS_NEXT_ENDPOINT,
    kmsTokenFile: settings.STEPVAULT_KMS_TOKEN_FILE,
    secretSourcesFile: settings.STEPVAULT_SECRET_SOURCES_FILE,
    gates: {
      planGate: settings.STEPVAULT_GATE_PLAN === "on",
      rolloutGate: settings.STEPVAULT_GATE_ROLLOUT === "on",
    },
    oidc: oidcOf(settings),
    region: settings.STEPVAULT_REGION,
    logLevel: settings.STEPVAULT_LOG_LEVEL,
    workerConcurrency: settings.STEPVAULT_WORKER_CONCURRENCY,
    shutdownMsMax: settings.STEPVAULT_SHUTDOWN_MS_MAX,
    retentionDays: settings.STEPVAULT_RETENTION_DAYS,
    hosts: {
      isolation: settings.STEPVAULT_ISOLATION,
      hostsIdleMax: settings.STEPVAULT_HOSTS_IDLE_MAX,
      hostsMax: settings.STEPVAULT_HOSTS_MAX,
      hostRunsMax: settings.STEPVAULT_HOST_RUNS_MAX,
      hostAgeMsMax: settings.STEPVAULT_HOST_AGE_MS_MAX,
      hostIdleMsMax: settings.STEPVAULT_HOST_IDLE_MS_MAX,
    },
    sandboxLayers: settings.STEPVAULT_SANDBOX_LAYERS,
    javascriptPackages: settings.STEPVAULT_JAVASCRIPT_PACKAGES,
    pythonPackages: settings.STEPVAULT_PYTHON_PACKAGES,
    egress: {
      open: splitList(settings.STEPVAULT_EGRESS_OPEN),
      own: [
        ...serverOf(settings.STEPVAULT_DATABASE_URL, 5432),
        ...redisServersOf(settings.STEPVAULT_REDIS_URL),
        ...apiServersOf(settings),
      ],
      nameServers: splitList(settings.STEPVAULT_EGRESS_NAME_SERVERS),
      caFile: settings.STEPVAULT_EGRESS_CA_FILE,
      guard: settings.STEPVAULT_EGRESS_GUARD,
    },
    limitMaxima: Object.fromEntries(limitNames.map((name) => [name, maxima[maximumKeys[name]]])) as Limits,
    api: apiSettingsOf(settings),
  });
}

function oidcOf(settings: z.infer<typeof settingsSchema>): OidcSettings | undefined {
  const { STEPVAULT_OIDC_ISSUER: issuer, STEPVAULT_OIDC_AUDIENCE: audience } = settings;
  if (issuer === undefined || audience === undefined) return undefined;
  const { STEPVAULT_OIDC_JWKS_URL: jwksUrl, STEPVAULT_OIDC_CLAIM: claim = "sub" } = settings;
  return { issuer, audience, jwksUrl, claim };
}

/** Where the API listens. It may listen on all addresses of the machine. */
function apiServersOf({
  STEPVAULT_API_HOST: host,
  STEPVAULT_API_PORT: port,
}: z.infer<typeof settingsSchema>): string[] {
  const name = host.includes(":") ? `[${host}]` : host;
  return [...new Set([name, "127.0.0.1", "[::1]"])].map((each) => `${each}:${port}`);
}

function serverOf(text: string | undefined, defaultPort: number): string[] {
  const url = text === undefined ? null : URL.parse(text);
  return url === null || url.hostname === "" ? [] : [`${url.hostname}:${url.port === "" ? defaultPort : url.port}`];
}

function ruleOf(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case "too_small":
      return `at least ${String(issue.minimum)}`;
    case "too_big":
      return `at most ${String(issue.maximum)}`;
    case "invalid_value":
      return `one of ${issue.values.map(String).join(", ")}`;
    case "invalid_format":
    case "custom":
      return issue.message;
    default:
      return "a whole number";
  }
}
