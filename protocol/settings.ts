/**
 * Every STEPVAULT_* variable with its rule, default and meaning: the schema that config.ts reads the environment with, and
 * that docs/configuration.md is generated from. Imports nothing of ours beyond this folder.
 */
import { isIP } from "node:net";
import { z } from "zod";
import { apiSettings } from "./api-settings.ts";
import { isKmsAddress, isKmsEndpoint, kmsAddressRule, kmsEndpointRule } from "./kms-address.ts";
import { type LimitName, limitNames, limitTable } from "./limits.ts";
import { isIssuer, isJwksUrl, issuerRule, jwksUrlRule } from "./oidc.ts";
import { isRedisAddress, redisAddressRule } from "./redis-address.ts";

const hostPort = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):\d{1,5}$/;

export const isolationModes = ["run", "project", "isolate"] as const;
export type IsolationMode = (typeof isolationModes)[number];

export const egressGuards = ["off", "report", "block"] as const;
export type EgressGuard = (typeof egressGuards)[number];

function packagesSetting(what: string, language: string): string {
  return `Folder of the ${what} that ${language} steps may import, with a lock file (\`stepvault packages lock DIR\`); what is not as locked stops the start`;
}

export const settingsSchema = z.object({
  STEPVAULT_DATA_DIR: z
    .string()
    .min(1)
    .default(".stepvault")
    .describe("Folder of the embedded PostgreSQL, the master key file and caches"),
  STEPVAULT_DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, "a postgres:// URL")
    .optional()
    .describe("External PostgreSQL, a postgres:// URL; without it an embedded server is started in the data directory"),
  STEPVAULT_DATABASE_CONNECTIONS_MAX: z.coerce
    .number()
    .int()
    .min(2)
    .max(200)
    .default(10)
    .describe("Connections of this process to PostgreSQL, besides the queue's"),
  STEPVAULT_REDIS_URL: z
    .string()
    .refine(isRedisAddress, redisAddressRule)
    .optional()
    .describe(
      "Redis for the queue, redis://, redis-sentinel:// or redis-cluster://, each with rediss for TLS, see docs/deployment.md; without it the queue lives in PostgreSQL",
    ),
  STEPVAULT_MASTER_KEY: z
    .string()
    .regex(/^[A-Za-z0-9+/]{43}=$/, "32 bytes of base64")
    .optional()
    .describe(
      "Master key of the vault, base64 of 32 bytes; without it a key file with mode 0600 is kept in the data directory",
    ),
  STEPVAULT_MASTER_KEY_NEXT: z
    .string()
    .regex(/^[A-Za-z0-9+/]{43}=$/, "32 bytes of base64")
    .optional()
    .describe(
      "Master key to change to, base64 of 32 bytes; without it `master.key.next` in the data directory, if any",
    ),
  STEPVAULT_KMS: z
    .string()
    .refine(isKmsAddress, kmsAddressRule)
    .optional()
    .describe(
      "Key management service that holds the root key instead of this machine, transit:https://host/v1/MOUNT/keys/KEY for the Transit engine of HashiCorp Vault or OpenBao, aws-kms:ARN for AWS KMS, gcp-kms:NAME for Google Cloud KMS; see docs/keys.md",
    ),
  STEPVAULT_KMS_ENDPOINT: z
    .string()
    .refine(isKmsEndpoint, kmsEndpointRule)
    .optional()
    .describe("Where AWS KMS or Google Cloud KMS answers, https://HOST; none: the public address of the region"),
  STEPVAULT_KMS_NEXT: z
    .string()
    .refine(isKmsAddress, kmsAddressRule)
    .optional()
    .describe("Key management service to change to, as STEPVAULT_KMS; see docs/keys.md"),
  STEPVAULT_KMS_NEXT_ENDPOINT: z
    .string()
    .refine(isKmsEndpoint, kmsEndpointRule)
    .optional()
    .describe("Where STEPVAULT_KMS_NEXT answers, as STEPVAULT_KMS_ENDPOINT"),
  STEPVAULT_KMS_TOKEN_FILE: z
    .string()
    .min(1)
    .default("/var/run/secrets/stepvault-kms-token")
    .describe("File with the token for Transit, read at each call, so that it may be renewed"),
  STEPVAULT_SECRET_SOURCES_FILE: z
    .string()
    .min(1)
    .optional()
    .describe(
      "JSON file with the outside sources that secrets may be read from, and the part of each that a project may read; see docs/secret-sources.md",
    ),
  STEPVAULT_GATE_PLAN: z
    .enum(["off", "on"])
    .default("off")
    .describe("Whether credentials of an organization need the plan enterprise, which the operator gives"),
  STEPVAULT_GATE_ROLLOUT: z
    .enum(["off", "on"])
    .default("off")
    .describe("Whether credentials of an organization need to be rolled out to it by the operator"),
  STEPVAULT_OIDC_ISSUER: z
    .string()
    .refine(isIssuer, issuerRule)
    .optional()
    .describe(
      "OpenID Connect issuer whose tokens sign people in, to the character as in their claim iss; none: people sign in with a link; see docs/sign-in.md",
    ),
  STEPVAULT_OIDC_AUDIENCE: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe("Audience that the issuer's tokens must be for, as in their claim aud"),
  STEPVAULT_OIDC_JWKS_URL: z
    .string()
    .refine(isJwksUrl, jwksUrlRule)
    .optional()
    .describe("Where the issuer's keys are; none: where its /.well-known/openid-configuration says"),
  STEPVAULT_OIDC_CLAIM: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .describe("Claim that says who a person is; it must never change hands. None: sub"),
  STEPVAULT_REGION: z
    .enum(["us", "eu", "au"])
    .default("us")
    .describe("Region of this deployment; the queue is named stepvault-<region>"),
  STEPVAULT_LOG_LEVEL: z
    .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
    .default("info")
    .describe("Level of the service's own log on stderr"),
  STEPVAULT_WORKER_CONCURRENCY: z.coerce
    .number()
    .int()
    .min(1)
    .max(256)
    .default(4)
    .describe("Runs at once in one worker process"),
  STEPVAULT_SHUTDOWN_MS_MAX: z.coerce
    .number()
    .int()
    .min(0)
    .max(3_600_000)
    .default(25_000)
    .describe("How long running steps may go on once the process was told to stop, ms"),
  STEPVAULT_RETENTION_DAYS: z.coerce
    .number()
    .int()
    .min(1)
    .max(3_650)
    .default(30)
    .describe("Days that ended runs and their events are kept, for projects that say nothing"),
  STEPVAULT_HOSTS_IDLE_MAX: z.coerce
    .number()
    .int()
    .min(0)
    .max(64)
    .default(2)
    .describe("Sandbox hosts per language kept started and unused, ready for a run"),
  STEPVAULT_HOSTS_MAX: z.coerce
    .number()
    .int()
    .min(1)
    .max(512)
    .default(12)
    .describe("Sandbox hosts alive at once, whatever they do; a run waits when all of them are busy"),
  STEPVAULT_HOST_RUNS_MAX: z.coerce
    .number()
    .int()
    .min(1)
    .max(100_000)
    // A fresh one takes some hundred runs to get fast; its age and its memory end it as well.
    .default(5_000)
    .describe("Runs that one sandbox host serves, one after the other, before it is replaced"),
  STEPVAULT_HOST_AGE_MS_MAX: z.coerce
    .number()
    .int()
    .min(1_000)
    .max(86_400_000)
    .default(900_000)
    .describe("Age at which a sandbox host is replaced, once it is idle, ms"),
  STEPVAULT_HOST_IDLE_MS_MAX: z.coerce
    .number()
    .int()
    .min(0)
    .max(86_400_000)
    .default(60_000)
    .describe("How long a used sandbox host is kept for the next run, ms"),
  STEPVAULT_ISOLATION: z
    .enum(isolationModes)
    .default("project")
    .describe(
      "Who shares a sandbox host, one after the other: no two runs (run), runs of one project (project), all (isolate); a run always has an isolate of its own",
    ),
  STEPVAULT_SANDBOX_LAYERS: z
    .enum(["prefer", "require"])
    .default("prefer")
    .describe(
      "Whether to start when a layer of the sandbox cannot be had on this machine: prefer does, require does not",
    ),
  STEPVAULT_JAVASCRIPT_PACKAGES: z.string().min(1).optional().describe(packagesSetting("ES modules", "JavaScript")),
  STEPVAULT_PYTHON_PACKAGES: z.string().min(1).optional().describe(packagesSetting("wheels", "Python")),
  STEPVAULT_EGRESS_OPEN: z
    .string()
    .default("")
    .refine((list) => splitList(list).every((pair) => hostPort.test(pair)), "host:port pairs, separated by commas")
    .describe("Private host:port pairs that steps may reach, comma separated; every other private address is refused"),
  STEPVAULT_EGRESS_NAME_SERVERS: z
    .string()
    .default("")
    .refine(
      (list) => splitList(list).every(isNameServer),
      "addresses, each with or without a port, separated by commas",
    )
    .describe("Name servers for the requests of steps, by address, comma separated; none: the machine's own resolver"),
  STEPVAULT_EGRESS_CA_FILE: z
    .string()
    .min(1)
    .optional()
    .describe("PEM file of certificate authorities that the requests of steps trust besides the public ones"),
  STEPVAULT_EGRESS_GUARD: z
    .enum(egressGuards)
    .optional()
    .describe(
      "What happens to a request that holds a readable secret's value for a host outside the secret's list: off sends it, report sends it and says so, block refuses it, also for a secret without a list; none: block for a secret with a list, and one without is named in the request's event",
    ),
  ...apiSettings,
});

function isNameServer(text: string): boolean {
  const [, address = text] = /^\[?([^\]]+?)\]?:\d{1,5}$/.exec(isIP(text) === 0 ? text : "") ?? [];
  return isIP(address) !== 0;
}

export const maximumKeys = Object.fromEntries(limitNames.map((name) => [name, maximumKey(name)])) as Record<
  LimitName,
  string
>;

export const maximaSchema = z.object(
  Object.fromEntries(
    limitNames.map((name) => {
      const { min, max, meaning } = limitTable[name];
      const description = `Highest ${name} that a step may set: ${meaning}`;
      return [maximumKeys[name], z.coerce.number().int().min(min).default(max).describe(description)];
    }),
  ),
);

export const settingShapes: Readonly<Record<string, z.ZodType>> = { ...settingsSchema.shape, ...maximaSchema.shape };

interface JsonSchemaOfSetting {
  enum?: string[];
  minimum?: number;
  maximum?: number;
  default?: string | number;
}

/** One row per setting, for docs/configuration.md. */
export function configRows(): { key: string; rule: string; defaultValue: string; description: string }[] {
  return Object.entries(settingShapes).map(([key, schema]) => {
    const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchemaOfSetting;
    return {
      key,
      rule: describeRule(json),
      defaultValue: json.default === undefined || json.default === "" ? "none" : String(json.default),
      description: schema.description ?? "",
    };
  });
}

function describeRule({ enum: values, minimum, maximum }: JsonSchemaOfSetting): string {
  if (values !== undefined) return values.join(", ");
  if (minimum === undefined) return "text";
  const bounded = maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
  return bounded ? `whole number, ${minimum} to ${maximum}` : `whole number, ${minimum} or more`;
}

/** wallTimeMsMax → STEPVAULT_MAX_WALL_TIME_MS */
function maximumKey(name: LimitName): string {
  return `STEPVAULT_MAX_${name
    .replace(/Max$/, "")
    .replaceAll(/[A-Z]/g, (letter) => `_${letter}`)
    .toUpperCase()}`;
}

export function splitList(list: string): string[] {
  return list
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part.length > 0);
}
