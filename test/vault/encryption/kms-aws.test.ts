/**
 * Goal: what only the adapter for AWS KMS does: it signs, binds ids as encryption context, trusts no answer for another key,
 * and goes to one place whatever the environment says. Over a local server that verifies SigV4 and speaks as documented.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { SealBrokenError } from "../../../vault/encryption/crypto.ts";
import { AwsKms } from "../../../vault/encryption/kms-aws.ts";
import { configFor } from "../../database/temporary.ts";
import { type AwsKmsServer, startAwsKms } from "../../helpers/aws-kms.ts";
import { isolateAws, type KmsService, kmsServices, writeAwsCredentials } from "../../helpers/kms-services.ts";

let folder: string;
let service: KmsService<AwsKmsServer>;
let server: AwsKmsServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stepvault-aws-"));
  service = await kmsServices["AWS KMS"](folder);
  server = service.server;
});

afterEach(async () => {
  await server.close();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

const key = randomBytes(32);
const context = { rootKeyId: createId(), organizationId: createId(), keyId: createId() };

function unavailable(words: string): object {
  return { code: "ERR_KMS_UNAVAILABLE", message: expect.stringContaining(words) };
}

describe("the adapter for AWS KMS alone", () => {
  test("gives ids and a fixed purpose as encryption context, which CloudTrail shows", async () => {
    await service.adapter().wrap(key, context);
    expect(server.contexts).toEqual([{ purpose: "stepvault organization key", ...context }]);
  });

  test("goes where the settings say, whatever the SDK's variables say", async () => {
    const other = await startAwsKms();
    for (const name of ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KMS"]) vi.stubEnv(name, other.origin);
    vi.stubEnv("AWS_REGION", "us-east-1");
    vi.stubEnv("AWS_USE_FIPS_ENDPOINT", "true");
    vi.stubEnv("AWS_USE_DUALSTACK_ENDPOINT", "true");
    await expect(service.adapter().wrap(key, context)).resolves.toBeInstanceOf(Buffer);
    expect(other.seen).toEqual([]);
    await other.close();
  });

  test.each([
    ["another key", { KeyId: "arn:aws:kms:eu-central-1:111122223333:key/00000000-0000-4000-8000-000000000000" }],
    ["no key", { KeyId: undefined }],
    ["an algorithm that binds no context", { EncryptionAlgorithm: "RSAES_OAEP_SHA_256" }],
  ])("takes no answer that names %s", async (_, fields) => {
    const kms = service.adapter();
    const blob = await kms.wrap(key, context);
    server.amend = (body) => ({ ...body, ...fields });
    await expect(kms.wrap(key, context)).rejects.toMatchObject(unavailable("another key"));
    await expect(kms.unwrap(blob, context)).rejects.toMatchObject(unavailable("another key"));
  });

  test("takes no answer without what it asked for", async () => {
    const kms = service.adapter();
    const blob = await kms.wrap(key, context);
    server.amend = ({ KeyId, EncryptionAlgorithm }) => ({ KeyId, EncryptionAlgorithm });
    await expect(kms.wrap(key, context)).rejects.toMatchObject(unavailable("holds none"));
    await expect(kms.unwrap(blob, context)).rejects.toMatchObject(unavailable("holds none"));
  });

  test.each([
    ["Disabled", "its key is disabled (DisabledException)"],
    ["PendingDeletion", "such as pending deletion (KMSInvalidStateException)"],
  ] as const)("says that its key is %s, and takes nothing for changed", async (state, words) => {
    const kms = service.adapter();
    const blob = await kms.wrap(key, context);
    server.keyState = state;
    await expect(kms.wrap(key, context)).rejects.toMatchObject(unavailable(words));
    await expect(kms.unwrap(blob, context)).rejects.toMatchObject(unavailable(words));
    await expect(kms.health()).rejects.toMatchObject(unavailable(`it is ${state}`));
  });

  test("refuses an asymmetric key, which would bind no context", async () => {
    server.keySpec = "RSA_2048";
    await expect(service.adapter().health()).rejects.toMatchObject(unavailable("no symmetric one"));
    await expect(service.adapter().wrap(key, context)).rejects.toMatchObject(unavailable("InvalidKeyUsageException"));
  });

  test("calls nothing changed unless the service says so with 400", async () => {
    server.instead = () => ({ status: 500, body: { __type: "InvalidCiphertextException" } });
    await expect(service.adapter().unwrap(randomBytes(64), context)).rejects.toMatchObject({
      code: "ERR_KMS_UNAVAILABLE",
    });
    server.instead = () => ({ status: 400, body: { __type: "IncorrectKeyException" } });
    await expect(service.adapter().unwrap(randomBytes(64), context)).rejects.toThrow(SealBrokenError);
    await expect(service.adapter().wrap(key, context)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
  });

  test("tries a few times when it is throttled, without waiting for as long as it is told", async () => {
    let tries = 0;
    server.instead = () => {
      tries += 1;
      return { status: 400, headers: { "retry-after": "3600" }, body: { __type: "ThrottlingException" } };
    };
    await expect(service.adapter(10_000).wrap(key, context)).rejects.toMatchObject(unavailable("too many requests"));
    expect(tries).toBe(3);
  });

  test("goes on after a failure that passes", async () => {
    let tries = 0;
    server.instead = () => {
      tries += 1;
      if (tries === 2) server.instead = undefined;
      return { status: 500, body: { __type: "KMSInternalException" } };
    };
    await expect(service.adapter().wrap(key, context)).resolves.toBeInstanceOf(Buffer);
  });

  test("works with a clock that is an hour off", async () => {
    server.clockAheadMs = 3_600_000;
    const kms = service.adapter();
    await expect(kms.unwrap(await kms.wrap(key, context), context)).resolves.toEqual(key);
  });
});

describe("the credentials for AWS KMS", () => {
  test("may have expired", async () => {
    server.expired = true;
    await expect(service.adapter().wrap(key, context)).rejects.toMatchObject(unavailable("have expired"));
  });

  test("may be wrong, and show in no error", async () => {
    const wrong = { ...server.credentials, secretAccessKey: "wrong-secret-access-key" };
    const file = join(folder, "wrong");
    await writeAwsCredentials(file, wrong);
    isolateAws(file);
    const failure: unknown = await service
      .adapter()
      .wrap(key, context)
      .catch((error: unknown) => error);
    expect(failure).toMatchObject(unavailable("the signature is wrong"));
    for (const secret of Object.values(wrong)) expect((failure as Error).stack).not.toContain(secret);
    expect(server.calls).toEqual([]);
  });

  test("may be missing", async () => {
    isolateAws(join(folder, "none"));
    await expect(service.adapter().wrap(key, context)).rejects.toMatchObject(unavailable("no credentials were found"));
    expect(server.seen).toEqual([]);
  });

  test("are waited for no longer than for the service", async () => {
    server.state = "silent";
    isolateAws(join(folder, "none"));
    // As a task's or a pod's agent gives them.
    vi.stubEnv("AWS_CONTAINER_CREDENTIALS_FULL_URI", `${server.origin}/credentials`);
    const start = performance.now();
    await expect(service.adapter(300).wrap(key, context)).rejects.toMatchObject(unavailable("no answer in 300 ms"));
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

describe("the address of a key in AWS KMS", () => {
  const id = "1234abcd-12ab-34cd-56ef-1234567890ab";

  test.each([
    `arn:aws:kms:eu-central-1:111122223333:key/${id}`,
    `arn:aws-cn:kms:cn-north-1:111122223333:key/${id}`,
    `arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/${id}`,
    "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab",
  ])("is %s", (arn) => {
    expect(configFor(folder, { STEPVAULT_KMS: `aws-kms:${arn}` }).kms).toBe(`aws-kms:${arn}`);
    expect(new AwsKms({ source: `aws-kms:${arn}` }).source).toBe(`aws-kms:${arn}`);
  });

  test.each([
    ["an alias, which may come to name another key", "arn:aws:kms:eu-central-1:111122223333:alias/stepvault"],
    ["an id without account and region", id],
    ["a key of another service", `arn:aws:s3:eu-central-1:111122223333:key/${id}`],
    ["a region that is a host", `arn:aws:kms:evil.example/eu-central-1:111122223333:key/${id}`],
    ["a partition that is unknown", `arn:aws-iso:kms:us-iso-east-1:111122223333:key/${id}`],
    ["more behind it", `arn:aws:kms:eu-central-1:111122223333:key/${id}/`],
    ["a second line", `arn:aws:kms:eu-central-1:111122223333:key/${id}\n`],
  ])("is not %s", (_, arn) => {
    expect(() => configFor(folder, { STEPVAULT_KMS: `aws-kms:${arn}` })).toThrow(/STEPVAULT_KMS: must be transit:/);
    expect(() => new AwsKms({ source: `aws-kms:${arn}` })).toThrow(/names no key of AWS KMS/);
  });
});

describe("the endpoint of a key management service", () => {
  test.each([
    "https://vpce-1.kms.eu-central-1.vpce.amazonaws.com",
    "https://127.0.0.1:8443/",
    "http://127.0.0.1:1",
    "http://[::1]:1",
  ])("may be %s", (endpoint) => {
    expect(configFor(folder, { STEPVAULT_KMS_ENDPOINT: endpoint }).kmsEndpoint).toBe(endpoint);
  });

  test.each([
    "http://kms.example.com",
    "http://127.0.0.1.evil.example",
    "http://localhost",
    "http://0.0.0.0",
    "https://user:pass@kms.example.com",
    "https://kms.example.com/path",
    "https://kms.example.com?x",
    "ftp://127.0.0.1",
    "kms.example.com",
  ])("may not be %s", (endpoint) => {
    for (const name of ["STEPVAULT_KMS_ENDPOINT", "STEPVAULT_KMS_NEXT_ENDPOINT"]) {
      expect(() => configFor(folder, { [name]: endpoint })).toThrow(`${name}: must be https://HOST`);
    }
  });
});
