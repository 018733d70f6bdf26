/**
 * Identifiers. Runs, organizations, projects and steps carry UUIDv7, so that an index on the id is also an index on the
 * time of creation. Imports nothing of ours.
 */
import { randomUUIDv7 } from "node:crypto";
import { z } from "zod";

export const idSchema = z.uuid().transform((id) => id.toLowerCase());

export function createId(): string {
  return randomUUIDv7();
}
