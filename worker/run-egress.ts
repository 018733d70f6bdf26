/**
 * What the egress broker is told of a run's secrets: a random placeholder for each sealed one, which is all that the
 * step gets of it, and the redactor's two abilities that the broker needs, to find values in what leaves and to mask
 * sealed ones in what comes back. For sealed ones both are stricter than the log's: what passes here can be used, and who
 * writes it may want it to pass.
 */
import { randomBytes } from "node:crypto";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { SecretValue } from "../protocol/secret.ts";
import { createRedactor, type Redactor, type Secret } from "../redaction/redactor.ts";
import type { EgressSecrets, ResponseFilter } from "../runtime/egress/secrets.ts";

/** A search holds up the worker for so much at a time. */
const searchedBytesMax = 64 * 1024;

/** Pieces of a sealed value that are masked too: of half its length, within these bounds. */
const fragmentCharacters = { min: 5, max: 12 };

/** Shorter values are found in others by chance. */
const containedCharactersMin = 4;

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
  const strict = sealed.size === 0 ? undefined : strictRedactor([...sealed.values()]);
  const redactors = strict === undefined ? [redactor] : [redactor, strict];
  return {
    values,
    egress: {
      sealed,
      policies,
      find: async (bytes, signal) => withContained(await search(redactors, bytes, signal), secrets),
      filter: strict && filterOf(strict),
    },
  };
}

/** Masks pieces, values that are short or common, and what stands beside a placeholder that the step wrote itself. */
function strictRedactor(sealed: readonly SecretValue[]): Redactor {
  const shortest = Math.min(...sealed.map((secret) => Array.from(secret.expose()).length));
  const fragments = Math.min(fragmentCharacters.max, Math.max(fragmentCharacters.min, Math.ceil(shortest / 2)));
  const values = sealed.flatMap((secret): Secret[] => {
    const [name, value] = [secret.name, secret.expose()];
    // In a header a character may be one byte and not UTF-8.
    const bytes = Buffer.from(value, "latin1");
    return bytes.equals(Buffer.from(value))
      ? [{ name, value }]
      : [
          { name, value },
          { name, value: bytes },
        ];
  });
  return createRedactor(values, { shortValues: "everywhere", fragments, twice: false });
}

function filterOf(redactor: Redactor): ResponseFilter {
  return {
    text: (text) => redactor.text(text),
    bytes: (bytes) => redactor.bytes(bytes),
    stream: () => redactor.stream("bytes"),
  };
}

/** Names of what is found, without keeping the worker from its other runs. */
async function search(redactors: readonly Redactor[], bytes: Uint8Array, signal: AbortSignal): Promise<Set<string>> {
  const searches = redactors.map((redactor) => redactor.search());
  for (let from = 0; from < bytes.length; from += searchedBytesMax) {
    if (from > 0) {
      await nextTurn();
      signal.throwIfAborted();
    }
    for (const each of searches) each.read(bytes.subarray(from, from + searchedBytesMax));
  }
  return new Set(searches.flatMap((each) => each.names()));
}

/** Also those whose values lie within a value that was found: of two that overlap the redactor names one. */
function withContained(found: ReadonlySet<string>, secrets: readonly SecretValue[]): string[] {
  const foundValues = secrets.filter(({ name }) => found.has(name)).map((secret) => secret.expose());
  return secrets
    .filter((secret) => {
      if (found.has(secret.name)) return true;
      const value = secret.expose();
      return value.length >= containedCharactersMin && foundValues.some((other) => other.includes(value));
    })
    .map(({ name }) => name);
}
