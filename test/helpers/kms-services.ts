/**
 * The three key management services behind one face, for tests that hold for all: a local server, the settings and the
 * credentials that lead to it, and an adapter. Credentials are found as in production, by files that variables name; what
 * would look for others on this machine or its network is switched off.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { vi } from "vitest";
import { AwsKms } from "../../vault/encryption/kms-aws.ts";
import { GcpKms } from "../../vault/encryption/kms-gcp.ts";
import { TransitKms } from "../../vault/encryption/kms-transit.ts";
import type { KmsAdapter } from "../../vault/encryption/kms.ts";
import { type AwsCredentials, type AwsKmsServer, startAwsKms } from "./aws-kms.ts";
import { type GcpKmsServer, startGcpKms } from "./gcp-kms.ts";
import type { KmsServer } from "./kms-server.ts";
import { startTransit, type TransitServer } from "./transit.ts";

export interface KmsService<Server extends KmsServer = KmsServer> {
  readonly server: Server;
  /** For STEPVAULT_KMS and what goes with it. */
  readonly settings: Record<string, string>;
  /** The file or files with credentials. */
  readonly credentialsFile: string;
  adapter(timeoutMs?: number): KmsAdapter;
}

export const kmsServices = {
  Transit: async (folder: string): Promise<KmsService<TransitServer>> => {
    const server = await startTransit();
    const tokenFile = join(folder, "transit-token");
    await writeFile(tokenFile, `${server.token}\n`);
    return {
      server,
      settings: { STEPVAULT_KMS: server.source, STEPVAULT_KMS_TOKEN_FILE: tokenFile },
      credentialsFile: tokenFile,
      adapter: (timeoutMs = 2_000) => new TransitKms({ source: server.source, tokenFile, timeoutMs }),
    };
  },

  "AWS KMS": async (folder: string): Promise<KmsService<AwsKmsServer>> => {
    const server = await startAwsKms();
    const file = join(folder, "aws-credentials");
    await writeAwsCredentials(file, server.credentials);
    isolateAws(file);
    const endpoint = server.origin;
    return {
      server,
      settings: { STEPVAULT_KMS: server.source, STEPVAULT_KMS_ENDPOINT: endpoint },
      credentialsFile: file,
      adapter: (timeoutMs = 2_000) => new AwsKms({ source: server.source, endpoint, timeoutMs }),
    };
  },

  "Google Cloud KMS": async (folder: string): Promise<KmsService<GcpKmsServer>> => {
    const server = await startGcpKms();
    const [file, subjectFile] = [join(folder, "google-credentials.json"), join(folder, "google-subject-token")];
    await writeFile(subjectFile, server.subjectToken);
    await writeFile(file, JSON.stringify(workloadIdentity(server.origin, subjectFile)));
    isolateGoogle(file);
    const endpoint = server.origin;
    return {
      server,
      settings: { STEPVAULT_KMS: server.source, STEPVAULT_KMS_ENDPOINT: endpoint },
      credentialsFile: file,
      adapter: (timeoutMs = 2_000) => new GcpKms({ source: server.source, endpoint, timeoutMs }),
    };
  },
};

export type KmsServiceName = keyof typeof kmsServices;
export const kmsServiceNames = Object.keys(kmsServices) as KmsServiceName[];

export async function writeAwsCredentials(file: string, credentials: AwsCredentials): Promise<void> {
  const { accessKeyId, secretAccessKey, sessionToken } = credentials;
  const lines = {
    aws_access_key_id: accessKeyId,
    aws_secret_access_key: secretAccessKey,
    aws_session_token: sessionToken,
  };
  const text = Object.entries(lines).map(([key, value]) => `${key} = ${value}\n`);
  await writeFile(file, `[default]\n${text.join("")}`, { mode: 0o600 });
}

/** Leaves the SDK one source of credentials, the file. */
export function isolateAws(file: string): void {
  for (const name of Object.keys(process.env)) if (name.startsWith("AWS_")) vi.stubEnv(name, undefined);
  vi.stubEnv("AWS_SHARED_CREDENTIALS_FILE", file);
  vi.stubEnv("AWS_CONFIG_FILE", `${file}.none`);
  vi.stubEnv("AWS_EC2_METADATA_DISABLED", "true");
}

/** Leaves Google's library one source of credentials: the file, or without one the metadata server at `machine`. */
export function isolateGoogle(file: string | undefined, machine?: string): void {
  for (const name of Object.keys(process.env))
    if (/^(GOOGLE|GCLOUD|GCE|CLOUDSDK)_/.test(name)) vi.stubEnv(name, undefined);
  vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", file);
  vi.stubEnv("CLOUDSDK_CONFIG", "/nonexistent");
  vi.stubEnv("GCE_METADATA_HOST", machine?.replace("http://", "") ?? "127.0.0.1:1");
  vi.stubEnv("METADATA_SERVER_DETECTION", machine === undefined ? "none" : "assume-present");
}

/** Credentials of a workload outside Google, that shows a token from a file. */
function workloadIdentity(origin: string, subjectFile: string): object {
  return {
    type: "external_account",
    audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: `${origin}/token`,
    credential_source: { file: subjectFile },
  };
}
