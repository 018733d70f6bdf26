/**
 * Goal: a service's library costs nothing where that service is not used. Method: a process of its own, which loads all of
 * the vault, opens keys as its settings say, and tells what Node has loaded of which package.
 */
import { execFile } from "node:child_process";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";

const root = path.join(import.meta.dirname, "../../..");
const script = `
  const { openKms } = await import("./vault/encryption/key-sources.ts");
  await import("./vault/vault.ts");
  const { remote } = openKms({ kms: process.argv[1], kmsEndpoint: process.argv[2], kmsTokenFile: "/nonexistent" });
  await remote?.health().catch(() => {});
  const { default: { _cache } } = await import("node:module");
  const files = Object.keys(_cache);
  console.log(JSON.stringify(["client-kms", "google-auth-library"].filter((name) => files.some((file) => file.includes(name)))));
  process.exit();
`;

describe("the libraries of key management services", () => {
  test.each([
    ["Transit", "transit:http://127.0.0.1:1/v1/transit/keys/k", [], []],
    [
      "AWS KMS",
      "aws-kms:arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
      ["http://127.0.0.1:1"],
      ["client-kms"],
    ],
    [
      "Google Cloud KMS",
      "gcp-kms:projects/acme-prod/locations/global/keyRings/r/cryptoKeys/k",
      ["http://127.0.0.1:1"],
      ["google-auth-library"],
    ],
  ])("are loaded by need: with %s", async (_, source, endpoint, expected) => {
    const args = ["--input-type=module", "--eval", script, source, ...endpoint];
    // No credentials anywhere, and nobody asked for any.
    const env = { HOME: tmpdir(), AWS_EC2_METADATA_DISABLED: "true", METADATA_SERVER_DETECTION: "none" };
    const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env });
    expect(JSON.parse(stdout)).toEqual(expected);
  });
});
