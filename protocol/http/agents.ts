/**
 * Agents, workforces and their embed keys as the HTTP API takes and shows them. The two requests that make an embed key are
 * written as the SDK that they come from writes them, in snake_case. Imports nothing of ours beyond protocol/.
 */
import { z } from "zod";
import { givenId, moment, pageOf, pageQuery, shownId, textSchema } from "./common.ts";
import { madeBySchema } from "./keys.ts";
import { projectParams } from "./organizations.ts";

const stepsMax = 1_000;
const kinds = ["agent", "workforce"] as const;

export const agentParams = z.object({ ...projectParams.shape, agentId: givenId });
export const embedKeyParams = z.object({ ...projectParams.shape, keyId: givenId });

const name = textSchema({ charactersMax: 200 });
const isPublic = z.boolean().describe("Whether embed keys may be made for it, and work");
const stepIds = z.array(givenId).max(stepsMax).describe("Steps of the project that it may start");

export const agentInput = z
  .strictObject({ kind: z.enum(kinds), name, public: isPublic.default(false), stepIds: stepIds.default([]) })
  .meta({ id: "AgentInput", examples: [{ kind: "agent", name: "Shop assistant", public: true, stepIds: [] }] });

export const agentChange = z
  .strictObject({ name: name.optional(), public: isPublic.optional(), stepIds: stepIds.optional() })
  .refine((change) => Object.values(change).some((value) => value !== undefined), "given at least one field")
  .meta({ id: "AgentChange", examples: [{ public: false }] });

export const agentSchema = z
  .object({
    id: shownId,
    projectId: shownId,
    kind: z.enum(kinds),
    name: z.string(),
    public: isPublic,
    stepIds: z.array(shownId),
    createdAt: moment,
  })
  .meta({ id: "Agent" });
export const agentPage = pageOf(agentSchema, "AgentPage");
export const agentListQuery = z.strictObject({ ...pageQuery.shape, kind: z.enum(kinds).optional() });

const embedKeyInput = {
  project: givenId.describe("The same as in the Authorization header, where that names one"),
  origins: z
    .array(z.string().min(1).max(300))
    .min(1)
    .max(20)
    .optional()
    .describe("Pages that may use it, such as https://shop.example; without any, all may"),
  expires_at: moment.optional().describe("At most 30 days ahead"),
  requests_max: z.int().min(1).optional(),
  requests_per_minute_max: z.int().min(1).max(1_000_000).optional(),
};

export const agentEmbedKeyInput = z
  .strictObject({ agent_id: givenId, ...embedKeyInput })
  .meta({ id: "AgentEmbedKeyInput" });
export const workforceEmbedKeyInput = z
  .strictObject({ workforce_id: givenId, ...embedKeyInput })
  .meta({ id: "WorkforceEmbedKeyInput" });

export const issuedEmbedKeySchema = z
  .object({
    embed_key: z.string().describe("The key. It is shown here once and kept nowhere"),
    conversation_prefix: z.string().describe("What the names of its conversations begin with"),
  })
  .meta({ id: "IssuedEmbedKey" });

export const embedKeySchema = z
  .object({
    id: shownId,
    projectId: shownId,
    agentId: shownId.describe("Of the agent or workforce"),
    region: z.enum(["us", "eu", "au"]),
    hint: z.string(),
    conversationPrefix: z.string(),
    origins: z.array(z.string()).nullable().describe("null: from anywhere"),
    createdBy: madeBySchema,
    createdAt: moment,
    expiresAt: moment.nullable(),
    revokedAt: moment.nullable(),
    lastUsedAt: moment.nullable().describe("To the minute"),
    requestsMax: z.int().nullable(),
    requestsUsed: z.int(),
    requestsPerMinuteMax: z.int().nullable(),
  })
  .meta({ id: "EmbedKey" });
export const embedKeyPage = pageOf(embedKeySchema, "EmbedKeyPage");
