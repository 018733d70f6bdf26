/** Sessions and who asks, as the HTTP API shows them. Imports nothing of ours beyond protocol/. */
import { z } from "zod";
import { keyScopes, organizationRoles } from "../roles.ts";
import { moment, shownId } from "./common.ts";

/** More than any token has: what is longer is not even looked at. */
const tokenCharactersMax = 200;

export const signInBody = z
  .strictObject({ token: z.string().min(1).max(tokenCharactersMax).describe("What follows # in the sign-in link") })
  .meta({ id: "SignIn" });

export const sessionSchema = z
  .object({
    id: shownId,
    personId: z.string(),
    createdAt: moment,
    lastSeenAt: moment.describe("To the minute"),
    endsAt: moment.describe("Whatever is done with it; sooner when it is not used for 12 hours"),
  })
  .meta({ id: "Session" });

export const sessionList = z.object({ data: z.array(sessionSchema) }).meta({ id: "SessionList" });

export const whoamiSchema = z
  .object({
    actor: z.object({ kind: z.enum(["person", "key", "system"]), id: z.string() }),
    via: z.enum(["key", "embed", "token", "session"]).describe("The kind of credential that the request has"),
    projectId: shownId.optional().describe("The project that the Authorization header names"),
    sessionId: shownId.optional(),
    organizations: z
      .array(z.object({ organizationId: shownId, name: z.string(), role: z.enum(organizationRoles) }))
      .describe("Of a person; none for a key"),
    key: z
      .object({
        organizationId: shownId,
        projects: z.union([z.literal("all"), z.array(shownId)]).describe("The projects that the key covers"),
        scopes: z.array(z.enum(keyScopes)),
      })
      .optional()
      .describe("Of a platform key, and not of an embed key"),
  })
  .meta({ id: "Whoami" });
export type Whoami = z.output<typeof whoamiSchema>;
