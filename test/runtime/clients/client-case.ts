/** One thing that a step does with a client library, as data: it is run with secrets of every kind, and told in the docs. */
import { isDeepStrictEqual } from "node:util";
import type { Json } from "../../../protocol/job.ts";

export const signsItself = "no: it signs in the sandbox, where the key is not; use `secrets.sign`";

export interface ClientCase {
  readonly library: string;
  readonly version: string;
  /** What is bundled for it, each package into a module of its own name. */
  readonly packages: readonly string[];
  readonly title: string;
  readonly code: string;
  /** What is told of it with a sealed secret, where it cannot work: why. */
  readonly sealed?: string;
  /** Whether the step's output is what the library should have given it. */
  readonly check: (output: Json) => boolean;
}

export const gives =
  (expected: Json) =>
  (output: Json): boolean =>
    isDeepStrictEqual(output, expected);
