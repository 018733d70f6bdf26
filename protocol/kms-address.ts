/**
 * The forms that STEPVAULT_KMS and STEPVAULT_KMS_ENDPOINT may have: settings are checked with them and adapters take them
 * apart, so that both mean the same. They are narrow on purpose: what passes can be put into a URL's path as it is. An AWS
 * alias or a version of a key is none of them, as docs/keys.md explains. Imports nothing.
 */

/** `transit:https://host:8200/v1/<mount>/keys/<key>`: the mount's URL and the key. In clear text to this machine only. */
export const transitAddress =
  /^transit:((?:https:\/\/[^/?#@\s]+|http:\/\/(?:127\.\d+\.\d+\.\d+|\[::1\])(?::\d+)?)\/v1\/[^?#@\s]+)\/keys\/([A-Za-z0-9_.-]+)$/;

/** `aws-kms:<ARN of a key>`: the ARN, the partition, the region. */
export const awsAddress =
  /^aws-kms:(arn:(aws|aws-cn|aws-us-gov):kms:([a-z]{2}(?:-[a-z]+){1,3}-\d{1,2}):\d{12}:key\/(?:mrk-[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))$/;

/** `gcp-kms:<name of a key>`: the name, the project. */
export const gcpAddress =
  /^gcp-kms:(projects\/((?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9])\/locations\/[a-z0-9-]{1,40}\/keyRings\/[A-Za-z0-9_-]{1,63}\/cryptoKeys\/[A-Za-z0-9_-]{1,63})$/;

export const kmsAddressRule =
  "transit:https://HOST/v1/MOUNT/keys/KEY, aws-kms:arn:aws:kms:REGION:ACCOUNT:key/ID or gcp-kms:projects/P/locations/L/keyRings/R/cryptoKeys/K";

export function isKmsAddress(text: string): boolean {
  return [transitAddress, awsAddress, gcpAddress].some((form) => form.test(text));
}

export const kmsEndpointRule = "https://HOST[:PORT], or http:// to a loopback address";

/** An origin and nothing else. Keys of organizations go there: in clear text to this machine only. */
export function isKmsEndpoint(text: string): boolean {
  const url = URL.parse(text);
  if (url === null || (text !== url.origin && text !== `${url.origin}/`)) return false;
  return url.protocol === "https:" || (url.protocol === "http:" && /^(127\.\d+\.\d+\.\d+|\[::1\])$/.test(url.hostname));
}
