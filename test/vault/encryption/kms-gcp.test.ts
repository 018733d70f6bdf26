/**
 * Goal: what only the adapter for Google Cloud KMS does: it sums what goes and comes, trusts no answer for another key, and
 * finds and renews access tokens. Over a local server that speaks the REST API as documented, and gives tokens as Google's
 * Security Token Service and a machine's metadata server do.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { crc32c } from "../../../vault/encryption/kms-crc32c.ts";
import { GcpKms } from "../../../vault/encryption/kms-gcp.ts";
import { configFor } from "../../database/temporary.ts";
import type { GcpKmsServer } from "../../helpers/gcp-kms.ts";
import { isolateGoogle, type KmsService, kmsServices } from "../../helpers/kms-services.ts";

let folder: string;
let service: KmsService<GcpKmsServer>;
let server: GcpKmsServer;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stepvault-gcp-"));
  service = await kmsServices["Google Cloud KMS"](folder);
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

test("CRC-32C is the one of RFC 3720", () => {
  expect(crc32c(Buffer.from("123456789"))).toBe(0xe3_06_92_83);
  expect(crc32c(Buffer.alloc(32))).toBe(0x8a_91_36_aa);
  expect(crc32c(Buffer.alloc(32, 0xff))).toBe(0x62_a8_ab_43);
  expect(crc32c(Buffer.alloc(0))).toBe(0);
});

describe("the adapter for Google Cloud KMS alone", () => {
  test.each([
    ["ciphertext", "its answer was changed", { ciphertext: randomBytes(90).toString("base64") }],
    ["ciphertext's sum", "its answer was changed", { ciphertextCrc32c: undefined }],
    ["word on the plaintext", "not what was sent", { verifiedPlaintextCrc32c: undefined }],
    ["word on the context", "not what was sent", { verifiedAdditionalAuthenticatedDataCrc32c: false }],
    ["name", "another key", { name: "projects/acme-prod/locations/x/keyRings/y/cryptoKeys/z/cryptoKeyVersions/1" }],
    ["version", "another key", { name: undefined }],
  ])("takes no wrapped key with a wrong %s", async (_, words, fields) => {
    server.amend = (body) => ({ ...body, ...fields });
    await expect(service.adapter().wrap(key, context)).rejects.toMatchObject(unavailable(words));
  });

  test.each([
    ["text", { plaintext: randomBytes(32).toString("base64") }],
    ["sum", { plaintextCrc32c: "1" }],
    ["type of text", { plaintext: 1 }],
    ["emptiness", { plaintext: "", plaintextCrc32c: "0" }],
  ])("takes no unwrapped key with a wrong %s", async (_, fields) => {
    const kms = service.adapter();
    const blob = await kms.wrap(key, context);
    server.amend = (body) => ({ ...body, ...fields });
    await expect(kms.unwrap(blob, context)).rejects.toMatchObject(unavailable("its answer was changed"));
  });

  test.each(["DISABLED", "DESTROY_SCHEDULED"] as const)(
    "says that its key is %s, and takes nothing for changed",
    async (state) => {
      const kms = service.adapter();
      const blob = await kms.wrap(key, context);
      server.versionState = state;
      await expect(kms.wrap(key, context)).rejects.toMatchObject(unavailable("400 FAILED_PRECONDITION"));
      await expect(kms.unwrap(blob, context)).rejects.toMatchObject(unavailable("400 FAILED_PRECONDITION"));
      await expect(kms.health()).rejects.toMatchObject(unavailable("primary version is not enabled"));
    },
  );

  test("calls nothing changed because of a proxy's 400", async () => {
    const kms = service.adapter();
    const blob = await kms.wrap(key, context);
    server.instead = () => ({ status: 400, body: "<title>400 Bad Request</title>" });
    await expect(kms.unwrap(blob, context)).rejects.toMatchObject(unavailable("answers 400"));
  });

  test("is told healthy by its own key alone, and by one for encryption", async () => {
    server.purpose = "ASYMMETRIC_DECRYPT";
    await expect(service.adapter().health()).rejects.toMatchObject(unavailable("no symmetric one"));
    server.amend = (body) => ({ ...body, name: "projects/acme-prod/locations/x/keyRings/y/cryptoKeys/z" });
    await expect(service.adapter().health()).rejects.toMatchObject(unavailable("another one"));
    server.amend = undefined;
    const missing = new GcpKms({ source: `${server.source}x`, endpoint: server.origin });
    await expect(missing.health()).rejects.toMatchObject(unavailable("404 NOT_FOUND"));
  });

  test("tries a few times when it is throttled, and goes on after a failure that passes", async () => {
    const kms = service.adapter();
    await kms.health();
    let tries = 0;
    const throttle = () => {
      tries += 1;
      return { status: 429, headers: { "retry-after": "3600" }, body: { error: { status: "RESOURCE_EXHAUSTED" } } };
    };
    server.instead = throttle;
    await expect(kms.wrap(key, context)).rejects.toMatchObject(unavailable("429 RESOURCE_EXHAUSTED"));
    expect(tries).toBe(3);
    server.instead = () => {
      if (tries === 4) server.instead = undefined;
      return throttle();
    };
    await expect(kms.wrap(key, context)).resolves.toBeInstanceOf(Buffer);
  });
});

describe("the access token for Google Cloud KMS", () => {
  test("is asked for once, and again when it was revoked before its time", async () => {
    const kms = service.adapter();
    for (let call = 0; call < 3; call += 1) await kms.wrap(key, context);
    expect(server.tokensGiven).toBe(1);
    server.revoke();
    await expect(kms.wrap(key, context)).resolves.toBeInstanceOf(Buffer);
    expect(server.tokensGiven).toBe(2);
  });

  test("comes from the machine when no file is named", async () => {
    isolateGoogle(undefined, server.origin);
    await expect(service.adapter().wrap(key, context)).resolves.toBeInstanceOf(Buffer);
    expect(server.tokensGiven).toBe(1);
  });

  test("may not be had, and nothing shows of what was said about it", async () => {
    const said = `no token for ${server.subjectToken}`;
    server.tokenInstead = { status: 403, body: { error: said, error_description: said } };
    const kms = service.adapter();
    const failure: unknown = await kms.wrap(key, context).catch((error: unknown) => error);
    expect(failure).toMatchObject(unavailable("get an access token: no credentials that work were found"));
    expect(`${(failure as Error).stack} ${JSON.stringify(failure)}`).not.toContain(server.subjectToken);
    expect(server.calls).toEqual([]);
    server.tokenInstead = undefined;
    await expect(kms.wrap(key, context)).resolves.toBeInstanceOf(Buffer);
  });

  test("may have nobody to give it", async () => {
    isolateGoogle(undefined);
    await expect(service.adapter().wrap(key, context)).rejects.toMatchObject(unavailable("get an access token"));
  });

  test("is waited for no longer than for the service", async () => {
    server.state = "silent";
    const start = performance.now();
    await expect(service.adapter(300).wrap(key, context)).rejects.toMatchObject(unavailable("no answer in 300 ms"));
    expect(performance.now() - start).toBeLessThan(2_000);
  });
});

describe("the address of a key in Google Cloud KMS", () => {
  test.each([
    "projects/acme-prod/locations/global/keyRings/vault/cryptoKeys/stepvault",
    "projects/example.com:acme-prod/locations/europe-west3/keyRings/A_b-1/cryptoKeys/k",
  ])("is %s", (name) => {
    expect(configFor(folder, { STEPVAULT_KMS: `gcp-kms:${name}` }).kms).toBe(`gcp-kms:${name}`);
    expect(new GcpKms({ source: `gcp-kms:${name}` }).source).toBe(`gcp-kms:${name}`);
  });

  test.each([
    [
      "a version, as rotating would go past it",
      "projects/acme-prod/locations/global/keyRings/v/cryptoKeys/k/cryptoKeyVersions/1",
    ],
    ["a way up in the path", "projects/acme-prod/locations/global/keyRings/../cryptoKeys/k"],
    ["another verb", "projects/acme-prod/locations/global/keyRings/v/cryptoKeys/k:destroy"],
    ["a query", "projects/acme-prod/locations/global/keyRings/v/cryptoKeys/k?x=1"],
    ["a project's number, as answers have its id", "projects/123456789012/locations/global/keyRings/v/cryptoKeys/k"],
  ])("is not %s", (_, name) => {
    expect(() => configFor(folder, { STEPVAULT_KMS: `gcp-kms:${name}` })).toThrow(/STEPVAULT_KMS: must be transit:/);
    expect(() => new GcpKms({ source: `gcp-kms:${name}` })).toThrow(/names no key of Cloud KMS/);
  });
});
