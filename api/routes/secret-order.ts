/** The order in which secrets are listed, by whichever route. */
import { z } from "zod";
import type { SecretMetadata } from "../../vault/secrets/secret-lists.ts";
import type { KeyOrder } from "../pages-by-key.ts";

/** A place's own by name, then those that a project inherits. */
export const byName: KeyOrder<SecretMetadata> = {
  keyOf: ({ inherited, name }) => [inherited ? 1 : 0, name],
  schema: z.tuple([z.union([z.literal(0), z.literal(1)]), z.string().max(200)]),
};
