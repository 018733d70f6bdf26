/**
 * Goal: what every adapter for a key management service owes: a blob opens with its key and context only, each call ends in
 * time, nothing goes elsewhere, and no credential, key or word of the service's own shows. Each service is a local server
 * that speaks as documented, over real connections.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { SealBrokenError } from "../../../vault/encryption/crypto.ts";
import { KmsRootKey } from "../../../vault/encryption/kms.ts";
import type { KmsRequestSeen } from "../../helpers/kms-server.ts";
import { type KmsService, kmsServiceNames, kmsServices } from "../../helpers/kms-services.ts";

let folder: string;
let service: KmsService;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stepvault-kms-"));
});

afterEach(async () => {
  await service.server.close();
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

async function failureOf(work: Promise<unknown>): Promise<Error> {
  return await work.then(
    () => expect.unreachable("it should fail"),
    (error: unknown) => error as Error,
  );
}

const context = { rootKeyId: createId(), organizationId: createId(), keyId: createId() };

describe.each(kmsServiceNames)("the adapter for %s", (name) => {
  beforeEach(async () => {
    service = await kmsServices[name](folder);
  });

  test("gives back what it wrapped, to the same context only, also after the key was rotated there", async () => {
    const kms = service.adapter();
    const key = randomBytes(32);
    const blob = await kms.wrap(key, context);
    expect(blob.includes(key)).toBe(false);
    service.server.rotate();
    await expect(kms.unwrap(blob, context)).resolves.toEqual(key);
    const later = await kms.wrap(key, context);
    await expect(kms.unwrap(later, context)).resolves.toEqual(key);
    for (const part of ["rootKeyId", "organizationId", "keyId"] as const) {
      await expect(kms.unwrap(blob, { ...context, [part]: createId() })).rejects.toThrow(SealBrokenError);
    }
    const { organizationId: keyId, keyId: organizationId } = context;
    await expect(kms.unwrap(blob, { ...context, keyId, organizationId })).rejects.toThrow(SealBrokenError);
  });

  test("refuses what is no blob of its key", async () => {
    const kms = service.adapter();
    const blob = await kms.wrap(randomBytes(32), context);
    const other = await kmsServices[name](folder);
    const wrong = [
      await other.adapter().wrap(randomBytes(32), context),
      Buffer.from("nothing"),
      Buffer.alloc(0),
      blob.subarray(0, -1),
    ];
    await other.server.close();
    for (const bytes of [...wrong, randomBytes(10_000)]) {
      await expect(kms.unwrap(bytes, context)).rejects.toThrow(SealBrokenError);
    }
  });

  test("is told healthy only by a service that has the key, and that wraps and unwraps", async () => {
    const root = new KmsRootKey(service.adapter());
    await expect(root.health()).resolves.toBeUndefined();
    expect(service.server.calls).toEqual(["describe", "encrypt", "decrypt"]);
    service.server.state = "down";
    await expect(root.health()).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
  });

  test("ends in time when nobody answers", async () => {
    // Its library is loaded and its credentials are there.
    await service.adapter().health();
    service.server.state = "silent";
    const start = performance.now();
    const failure = await failureOf(service.adapter(300).wrap(randomBytes(32), context));
    expect(performance.now() - start).toBeLessThan(2_000);
    expect(failure).toMatchObject({
      code: "ERR_KMS_UNAVAILABLE",
      message: expect.stringMatching(/no answer in 300 ms$/),
    });
  });

  test("says when the port is closed", async () => {
    const kms = service.adapter();
    await service.server.close();
    await expect(kms.wrap(randomBytes(32), context)).rejects.toMatchObject({
      code: "ERR_KMS_UNAVAILABLE",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  test("follows no redirect, which would take the key elsewhere", async () => {
    const [kms, other] = [service.adapter(), createServer()];
    await kms.health();
    let visits = 0;
    other.on("request", (_, response) => void response.end(String((visits += 1))));
    await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
    const location = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
    service.server.instead = () => ({ status: 307, headers: { location }, body: "" });
    await expect(kms.wrap(randomBytes(32), context)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
    await expect(kms.unwrap(randomBytes(64), context)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
    expect(visits).toBe(0);
    other.close();
  });

  test.each([200, 400, 403, 502])("repeats nothing of an answer %i that repeats what was sent", async (status) => {
    const [kms, key] = [service.adapter(), randomBytes(32)];
    await kms.health();
    const echo = ({ headers, body }: KmsRequestSeen) => `<h1>proxy</h1> ${JSON.stringify(headers)} ${body}`;
    const asErrors = (request: KmsRequestSeen) => {
      const text = echo(request);
      return { __type: text, message: text, errors: [text], error: { code: status, status: text, message: text } };
    };
    const asKnownErrors = (request: KmsRequestSeen) => {
      const message = echo(request);
      return {
        __type: "AccessDeniedException",
        message,
        error: { code: status, status: "PERMISSION_DENIED", message },
      };
    };
    for (const body of [echo, asErrors, asKnownErrors]) {
      service.server.instead = (request) => ({ status, body: body(request) });
      const failure = await failureOf(kms.wrap(key, context));
      expect(failure).toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
      const shown = `${failure.stack} ${JSON.stringify(failure)} ${String(failure.cause)}`;
      expect(service.server.secrets.length).toBeGreaterThan(0);
      for (const text of [...service.server.secrets, key.toString("base64"), "proxy"])
        expect(shown).not.toContain(text);
    }
  });

  test("takes no page of a proxy for a key, nor an answer without end", async () => {
    const kms = service.adapter();
    const blob = await kms.wrap(randomBytes(32), context);
    for (const body of ["<!doctype html><title>Sign in</title>", "null", "[]", "", "{".repeat(200_000)]) {
      service.server.instead = () => ({ status: 200, body });
      await expect(kms.wrap(randomBytes(32), context)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
      await expect(kms.unwrap(blob, context)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
      await expect(kms.health()).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
    }
    service.server.instead = () => ({ status: 200, body: `{"data":"${"x".repeat(200_000)}"}` });
    await expect(kms.unwrap(blob, context)).rejects.toMatchObject({
      message: expect.stringContaining("more than 65536 bytes"),
    });
  });
});
