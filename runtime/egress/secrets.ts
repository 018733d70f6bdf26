/**
 * What the broker is told of a run's secrets, by whoever resolved them. Runtime knows neither the vault nor the
 * redactor: it asks for what it needs by this shape.
 */
import type { SecretPolicy } from "../../protocol/secret-policy.ts";
import type { SecretValue } from "../../protocol/secret.ts";

/** Masks the values of sealed secrets in what comes back, whatever form they have. */
export interface ResponseFilter {
  text(text: string): string;
  bytes(bytes: Uint8Array): Uint8Array;
  /** One body: bytes in, what may be shown out. */
  stream(): ResponseStream;
}

export interface ResponseStream {
  readonly heldBytes: number;
  pieces(chunk: Uint8Array): Uint8Array[];
  /** What is held and tells nothing, when nothing has come for a while. */
  release(): Uint8Array;
  end(): Uint8Array;
}

export interface EgressSecrets {
  /** Sealed secrets by the placeholder that the step holds. */
  readonly sealed: ReadonlyMap<string, SecretValue>;
  /** The policy of each of the run's secrets, by name. */
  readonly policies: ReadonlyMap<string, SecretPolicy>;
  /** Names of the secrets whose values these bytes hold, in any form. Gives way to other work while it searches. */
  find(bytes: Uint8Array, signal: AbortSignal): Promise<readonly string[]>;
  /** Absent when nothing is sealed. */
  readonly filter: ResponseFilter | undefined;
}

/** `sealed_` and 128 random bits: of one length, so that two that touch are told apart, and of letters that no encoding of a request changes. */
export const placeholderPattern = /sealed_[0-9a-f]{32}/g;
