/**
 * Identifiers. Runs, organizations, projects and steps carry UUIDv7, so that an index on the id is also an index on the
 * time of creation. Imports nothing of ours.
 */
import { createHash, randomUUIDv7 } from "node:crypto";
import { z } from "zod";

export const idSchema = z.uuid().transform((id) => id.toLowerCase());

/**
 * The id of a run that its caller chooses. Ids that are made of names could be guessed by somebody who knows the names, and
 * taken before the run is there that they are for.
 */
export const givenRunIdSchema = idSchema.refine(
  (id) => id[14] !== "8",
  "a UUID of another version than 8, which Stepvault gives to runs that come without an id",
);

export function createId(): string {
  return randomUUIDv7();
}

/** The id of something that is known by other names: the same for the same names, UUID version 8. */
export function hashedId(...names: readonly string[]): string {
  const hash = createHash("sha256").update(JSON.stringify(names)).digest("hex");
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-9${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}
