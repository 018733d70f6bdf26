/**
 * Goal: what only the adapter for Transit does, over a local server that speaks it as documented: its token from a file that
 * is renewed, its versions, its address. What holds for all services is in kms.test.ts.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { SealBrokenError } from "../../../vault/encryption/crypto.ts";
import { chooseKms } from "../../../vault/encryption/kms-choice.ts";
import { TransitKms } from "../../../vault/encryption/kms-transit.ts";
import { type KmsService, kmsServices } from "../../helpers/kms-services.ts";
import type { TransitServer } from "../../helpers/transit.ts";

let folder: string;
let service: KmsService<TransitServer>;
let tokenFile: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "stepvault-transit-"));
  service = await kmsServices.Transit(folder);
  tokenFile = service.credentialsFile;
});

afterEach(async () => {
  await service.server.close();
  await rm(folder, { recursive: true });
});

const context = { rootKeyId: createId(), organizationId: createId(), keyId: createId() };

describe("the adapter for Transit alone", () => {
  test("opens blobs of older versions of the key as long as these are allowed", async () => {
    const { server } = service;
    const kms = service.adapter();
    const blob = await kms.wrap(randomBytes(32), context);
    expect(blob.toString()).toMatch(/^vault:v1:/);
    server.rotate();
    expect((await kms.wrap(randomBytes(32), context)).toString()).toMatch(/^vault:v2:/);
    server.minDecryptionVersion = 2;
    await expect(kms.unwrap(blob, context)).rejects.toThrow(SealBrokenError);
  });

  test("misses a key of another name", async () => {
    const other = new TransitKms({ source: `${service.server.source}2`, tokenFile });
    await expect(other.health()).rejects.toMatchObject({ message: expect.stringContaining("answers 404") });
  });

  test.each([
    ["is another", async () => await writeFile(tokenFile, "hvs.other"), /answers 403/],
    ["is gone", async () => await rm(tokenFile), /ENOENT/],
  ])("says when the token %s", async (_, before, why) => {
    await before();
    await expect(service.adapter().wrap(randomBytes(32), context)).rejects.toMatchObject({
      code: "ERR_KMS_UNAVAILABLE",
      message: expect.stringMatching(why),
    });
  });

  test("reads a token that was renewed", async () => {
    const kms = service.adapter();
    await writeFile(tokenFile, "hvs.expired");
    await expect(kms.wrap(randomBytes(32), context)).rejects.toMatchObject({ code: "ERR_KMS_UNAVAILABLE" });
    await writeFile(tokenFile, service.server.token);
    await expect(kms.wrap(randomBytes(32), context)).resolves.toBeInstanceOf(Buffer);
  });

  test("takes no endpoint beside its address", () => {
    const { source } = service.server;
    expect(() => chooseKms({ source, endpoint: "https://elsewhere.example", tokenFile })).toThrow(/not in an endpoint/);
  });
});
