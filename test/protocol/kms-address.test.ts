/** Addresses of key management services: what each form takes and what would send keys in clear text or elsewhere. */
import { expect, test } from "vitest";
import { isKmsAddress, isKmsEndpoint } from "../../protocol/kms-address.ts";

const arn = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

test.each([
  "transit:https://vault.example.com:8200/v1/transit/keys/stepvault",
  "transit:https://vault.example.com/v1/team/transit/keys/step.vault-1",
  "transit:http://127.0.0.1:8200/v1/transit/keys/stepvault",
  "transit:http://[::1]:8200/v1/transit/keys/stepvault",
  `aws-kms:${arn}`,
  "gcp-kms:projects/acme-prod/locations/global/keyRings/ring/cryptoKeys/key",
])("%s is one", (address) => expect(isKmsAddress(address)).toBe(true));

test.each([
  "transit:http://vault.example.com:8200/v1/transit/keys/stepvault",
  "transit:http://localhost:8200/v1/transit/keys/stepvault",
  "transit:http://127.0.0.1.example.com/v1/transit/keys/stepvault",
  "transit:http://127.0.0.1:8200@evil.example.com/v1/transit/keys/stepvault",
  "transit:https://token@vault.example.com/v1/transit/keys/stepvault",
  "transit:https://vault.example.com/v1/transit/keys/a/b",
  "transit:https://vault.example.com/v1/transit/keys/k?token=x",
  "aws-kms:arn:aws:kms:eu-central-1:111122223333:alias/stepvault",
  `aws-kms:${arn}/../x`,
  "gcp-kms:projects/acme-prod/locations/global/keyRings/ring/cryptoKeys/key/cryptoKeyVersions/1",
  "",
])("%s is none", (address) => expect(isKmsAddress(address)).toBe(false));

test("an endpoint is an origin, encrypted or on this machine", () => {
  for (const origin of [
    "https://kms.example.com",
    "https://kms.example.com:8443/",
    "http://127.0.0.1:1",
    "http://[::1]:1",
  ])
    expect([origin, isKmsEndpoint(origin)]).toEqual([origin, true]);
  for (const other of [
    "http://kms.example.com",
    "https://kms.example.com/path",
    "https://user@kms.example.com",
    "ftp://127.0.0.1",
  ])
    expect([other, isKmsEndpoint(other)]).toEqual([other, false]);
});
