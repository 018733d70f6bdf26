/**
 * Credentials of integrations and model providers as the HTTP API takes and shows them. Values of secret fields are in one
 * schema only, which is of a request: no answer has a place for one. Imports nothing of ours beyond protocol/.
 */
import { z } from "zod";
import { inheritanceModes, type IntegrationClass } from "../integrations.ts";
import { moment, pageOf } from "./common.ts";
import { organizationParams, projectParams } from "./organizations.ts";

const fieldsMax = 20;
const classes = Object.keys(inheritanceModes) as [IntegrationClass, ...IntegrationClass[]];
const levels = ["organization", "project"] as const;
const kinds = ["shared", "per-user"] as const;

/** What is none is told by the vault, which does not repeat it. */
const integration = z.string().min(1).max(64).describe("Its id in the catalogue, such as `openai`");

export const organizationCredentialParams = z.object({ ...organizationParams.shape, integration });
export const projectCredentialParams = z.object({ ...projectParams.shape, integration });
export const inheritanceParams = z.object({ ...projectParams.shape, class: z.enum(classes) });
export const providerInheritanceParams = z.object({ ...inheritanceParams.shape, integration });

export const integrationPage = pageOf(
  z
    .object({
      id: z.string(),
      name: z.string(),
      class: z.enum(classes),
      inheritance: z.enum(["auto", "opt_in"]).describe("auto: every project has what its organization has"),
      oauth: z.boolean().describe("Users connect their own account: there is nothing to share"),
      kind: z.enum(kinds),
      fields: z.array(
        z.object({
          name: z.string(),
          required: z.boolean(),
          secret: z.boolean().describe("Sealed, and never shown again"),
          rule: z.string(),
          help: z.string(),
        }),
      ),
    })
    .meta({ id: "Integration" }),
  "IntegrationPage",
);

export const credentialInput = z
  .strictObject({
    fields: z
      .record(z.string().max(64), z.string().max(65_536))
      .refine((fields) => Object.keys(fields).length <= fieldsMax, `at most ${fieldsMax} fields`)
      .describe("By the names of the catalogue"),
  })
  .meta({ id: "CredentialInput", examples: [{ fields: { api_key: "the provider's key" } }] });
export const credentialVersionSchema = z.object({ version: z.int() }).meta({ id: "CredentialVersion" });

export const credentialSwitch = z
  .strictObject({ enabled: z.boolean().describe("Off, it is not usable, and its value stays stored") })
  .meta({ id: "CredentialSwitch" });

const shownFields = z.array(
  z.object({ name: z.string(), value: z.string().optional().describe("Absent: the field is secret") }),
);

const credentialSchema = z
  .object({
    integration: z.string(),
    kind: z.enum(kinds),
    level: z.enum(levels),
    version: z.int(),
    disabled: z.boolean(),
    fields: shownFields,
    tampered: z.boolean().describe("The row is not the one that was written, and not usable"),
    createdAt: moment,
    updatedAt: moment,
  })
  .meta({ id: "Credential" });
export const credentialPage = pageOf(credentialSchema, "CredentialPage");

export const credentialExplanationSchema = z
  .object({
    integration: z.string(),
    kind: z.enum(kinds),
    winner: z
      .object({ integration: z.string(), level: z.enum(levels), version: z.int(), fields: shownFields })
      .nullable()
      .describe("The one in force; null: none is"),
    candidates: z
      .array(
        z.object({
          level: z.enum(levels),
          state: z.enum([
            "in force",
            "absent",
            "changed past Stepvault",
            "switched off",
            "shadowed",
            "not inherited",
            "plan required",
            "rollout pending",
          ]),
          why: z.string(),
          version: z.int().optional(),
        }),
      )
      .describe("Where one may be, the nearest first, and why each was passed over"),
  })
  .meta({ id: "CredentialExplanation" });
export const credentialExplanationPage = pageOf(credentialExplanationSchema, "CredentialExplanationPage");

export const inheritanceInput = z
  .strictObject({
    inherits: z.boolean().nullable().describe("null takes the switch away; a provider follows its class again"),
  })
  .meta({ id: "InheritanceInput" });
export const inheritanceSchema = z
  .object({
    switches: z.array(
      z.object({
        class: z.string(),
        integration: z.string().nullable().describe("null: the whole class"),
        inherits: z.boolean(),
        tampered: z.boolean().describe("It is not what was written; what it decides is not usable"),
      }),
    ),
  })
  .meta({ id: "Inheritance" });

export const credentialSettingsSchema = z
  .object({
    plan: z.enum(["free", "team", "enterprise"]),
    rolledOut: z.boolean(),
    planGate: z.boolean().describe("Whether the deployment asks for the plan enterprise"),
    rolloutGate: z.boolean().describe("Whether the deployment asks for the rollout"),
    closedGate: z.enum(["plan", "rollout"]).nullable().describe("The first gate that the organization does not pass"),
    editorsManage: z.boolean().describe("Whether editors may change credentials in its projects"),
  })
  .meta({ id: "CredentialSettings" });
export const credentialSettingsInput = z
  .strictObject({ editorsManage: z.boolean() })
  .meta({ id: "CredentialSettingsInput" });
