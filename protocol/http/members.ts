/** People in organizations and projects as the HTTP API takes and shows them. Imports nothing of ours beyond protocol/. */
import { z } from "zod";
import { capacities, organizationRoles, projectRoles } from "../roles.ts";
import { moment, pageOf, textSchema } from "./common.ts";
import { organizationParams, projectParams } from "./organizations.ts";

/** As the issuer of tokens names the person, or the operator did. */
const personId = textSchema({ charactersMax: 200 });

export const organizationMemberParams = z.object({ ...organizationParams.shape, personId });
export const projectMemberParams = z.object({ ...projectParams.shape, personId });

const organizationMemberSchema = z
  .object({ personId: z.string(), name: z.string(), role: z.enum(organizationRoles), createdAt: moment })
  .meta({ id: "OrganizationMember" });
export const organizationMemberPage = pageOf(organizationMemberSchema, "OrganizationMemberPage");

export const organizationMemberInput = z
  .strictObject({ name: textSchema({ charactersMax: 200 }), role: z.enum(organizationRoles) })
  .meta({ id: "OrganizationMemberInput", examples: [{ name: "Ada", role: "member" }] });

const canCreateAssets = z.boolean().describe("Whether a member is a builder; other roles do not need it");

const projectMemberSchema = z
  .object({
    personId: z.string(),
    name: z.string(),
    role: z.enum(projectRoles),
    canCreateAssets,
    createdAt: moment,
  })
  .meta({ id: "ProjectMember" });
export const projectMemberPage = pageOf(projectMemberSchema, "ProjectMemberPage");

export const projectMemberInput = z
  .strictObject({ role: z.enum(projectRoles), canCreateAssets: canCreateAssets.default(false) })
  .meta({ id: "ProjectMemberInput", examples: [{ role: "member", canCreateAssets: true }] });

export const builderPage = pageOf(
  z
    .object({
      personId: z.string(),
      name: z.string(),
      by: z.enum(capacities).describe("The role by which they are one"),
    })
    .meta({ id: "Builder" }),
  "BuilderPage",
);
