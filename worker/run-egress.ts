/**
 * What the egress broker is told of a run's secrets: a random placeholder for each sealed one, which is all that the
 * step gets of it, and the redactor's two abilities that the broker needs, to find values in what leaves and to mask
 * sealed ones in what comes back. The masks for answers are stricter than those of the log: what comes back can be used.
 */
import { randomBytes } from "node:crypto";
import type { SecretValue } from "../protocol/secret.ts";
import { createRedactor, type Redactor } from "../redaction/redactor.ts";
import type { EgressSecrets } from "../runtime/egress/secrets.ts";

export interface RunEgress {
  readonly egress: EgressSecrets;
  /** What the step is given for each secret, by name: its value, or its placeholder. */
  readonly values: ReadonlyMap<string, string>;
}

/** `redactor` masks all of these secrets in the run's output. */
export function prepareEgress(secrets: readonly SecretValue[], redactor: Redactor): RunEgress {
  const sealed = new Map(
    secrets
      .filter(({ policy }) => policy.sealed)
      .map((secret) => [`sealed_${randomBytes(16).toString("hex")}`, secret]),
  );
  const placeholders = new Map([...sealed].map(([placeholder, { name }]) => [name, placeholder]));
  const values = new Map(secrets.map((secret) => [secret.name, placeholders.get(secret.name) ?? secret.expose()]));
  const policies = new Map(secrets.map(({ name, policy }) => [name, policy]));
  const masked = [...sealed.values()].map((secret) => ({ name: secret.name, value: secret.expose() }));
  const filter =
    masked.length === 0 ? undefined : createRedactor(masked, { shortValues: "everywhere", fragments: true });
  return {
    values,
    egress: {
      sealed,
      policies,
      find: (bytes) => redactor.find(bytes),
      filter: filter && { text: (text) => filter.text(text), stream: () => filter.stream("bytes") },
    },
  };
}
