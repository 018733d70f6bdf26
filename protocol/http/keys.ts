/**
 * Platform keys as the HTTP API takes and shows them. The key itself is in one schema only, `IssuedKey`, the answer of what
 * made it. How long a key may live is for the vault to judge, as organizations differ. Imports nothing of ours beyond protocol/.
 */
import { z } from "zod";
import { keyScopes } from "../roles.ts";
import { givenId, moment, pageOf, shownId, textSchema } from "./common.ts";
import { organizationParams, projectParams } from "./organizations.ts";

const projectsMax = 1_000;
const regionNames = ["us", "eu", "au"] as const;

export const projectKeyParams = z.object({ ...projectParams.shape, keyId: givenId });
export const organizationKeyParams = z.object({ ...organizationParams.shape, keyId: givenId });

const name = textSchema({ charactersMax: 200 });
const scopes = z.array(z.enum(keyScopes)).min(1).max(keyScopes.length);
const access = z
  .union([z.literal("all"), z.array(givenId).min(1).max(projectsMax)])
  .describe("All projects of the organization, also later ones, or these");
const expiry = z
  .union([z.literal("none"), z.strictObject({ days: z.int().min(1).max(3_650) }), z.strictObject({ date: moment })])
  .describe("None, or 7 to 90 days ahead, within the organization's policy");

export const projectKeyInput = z
  .strictObject({ name, scopes, expiry })
  .meta({ id: "ProjectKeyInput", examples: [{ name: "CI", scopes: ["trigger"], expiry: { days: 30 } }] });
export const organizationKeyInput = z.strictObject({ name, scopes, access, expiry }).meta({
  id: "OrganizationKeyInput",
  examples: [{ name: "CI", scopes: ["trigger"], access: "all", expiry: { days: 30 } }],
});

const somethingGiven = (change: object): boolean => Object.values(change).some((value) => value !== undefined);

export const projectKeyChange = z
  .strictObject({ name: name.optional(), scopes: scopes.optional() })
  .refine(somethingGiven, "given at least one field")
  .meta({ id: "ProjectKeyChange", examples: [{ name: "CI of the shop" }] });
export const organizationKeyChange = z
  .strictObject({ name: name.optional(), scopes: scopes.optional(), access: access.optional() })
  .refine(somethingGiven, "given at least one field")
  .meta({ id: "OrganizationKeyChange", examples: [{ access: "all" }] });

export const keyRotationInput = z
  .strictObject({
    graceDays: z.number().min(0).max(30).describe("How long the old key works on, unless it expires sooner"),
    expiry,
  })
  .meta({ id: "KeyRotationInput", examples: [{ graceDays: 7, expiry: { days: 90 } }] });

export const madeBySchema = z.object({ kind: z.enum(["system", "person", "key"]), id: z.string() });

export const keySchema = z
  .object({
    id: shownId,
    organizationId: shownId,
    projectId: shownId.nullable().describe("null: a key of the organization"),
    name: z.string(),
    scopes: z.array(z.enum(keyScopes)),
    access: z.enum(["project", "all", "selected"]),
    projectIds: z.array(shownId).optional().describe("Of selected access, in the organization's list"),
    region: z.enum(regionNames),
    hint: z.string().describe("What people tell keys apart by: the prefix and the last four characters"),
    state: z.enum(["active", "rotated", "expired", "revoked"]).describe("A rotated one works until `expiresAt`"),
    inherited: z.boolean().describe("Of the organization, in a project's list: changed in the organization only"),
    createdBy: madeBySchema,
    createdAt: moment,
    expiresAt: moment.nullable(),
    revokedAt: moment.nullable(),
    rotatedFrom: shownId.nullable(),
    rotatedTo: shownId.nullable(),
    lastUsedAt: moment.nullable().describe("To the minute"),
  })
  .meta({ id: "Key" });
export const keyPage = pageOf(keySchema, "KeyPage");

export const issuedKeySchema = z
  .object({ key: z.string().describe("The key. It is shown here once and kept nowhere"), metadata: keySchema })
  .meta({ id: "IssuedKey" });

const expiryDaysMax = z
  .int()
  .min(7)
  .max(90)
  .nullable()
  .describe("null: 90; a figure also rules out keys without an expiry");

export const keyPolicySchema = z.object({ expiryRequired: z.boolean(), expiryDaysMax }).meta({ id: "KeyPolicy" });
export const keyPolicyInput = z
  .strictObject({ expiryRequired: z.boolean(), expiryDaysMax })
  .meta({ id: "KeyPolicyInput", examples: [{ expiryRequired: true, expiryDaysMax: 30 }] });

export const ownKeySchema = z
  .object({
    id: shownId,
    kind: z.enum(["project", "organization", "embed"]),
    organizationId: shownId,
    projects: z.union([z.literal("all"), z.array(shownId)]).describe("What it covers"),
    scopes: z.array(z.enum(keyScopes)).describe("None for an embed key, which starts and sees its agent's runs"),
    region: z.enum(regionNames),
    hint: z.string(),
    expiresAt: moment.nullable(),
    rotated: z.boolean().describe("It, or the key that made it, has a successor and stops at `expiresAt`"),
    agent: z
      .object({
        id: shownId,
        kind: z.enum(["agent", "workforce"]),
        stepIds: z.array(shownId).describe("The steps that the key may start, once they are published"),
        conversationPrefix: z.string(),
      })
      .optional()
      .describe("Of an embed key: what it is for"),
  })
  .meta({ id: "OwnKey" });
