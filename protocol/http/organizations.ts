/** Organizations and projects as the HTTP API shows them. Imports nothing of ours beyond protocol/. */
import { z } from "zod";
import { networkPolicySchema } from "../job.ts";
import { givenId, moment, pageOf, shownId, textSchema } from "./common.ts";

const nameCharactersMax = 200;

export const organizationSchema = z
  .object({ id: shownId, name: z.string(), createdAt: moment })
  .meta({ id: "Organization" });

export const organizationPage = pageOf(organizationSchema, "OrganizationPage");

export const projectSchema = z
  .object({
    id: shownId,
    organizationId: shownId,
    name: z.string(),
    network: networkPolicySchema
      .nullable()
      .describe("What every step of the project may reach at most; null: what the step itself may"),
    createdAt: moment,
  })
  .meta({ id: "Project" });

export const projectPage = pageOf(projectSchema, "ProjectPage");

export const namedThing = z
  .strictObject({ name: textSchema({ charactersMax: nameCharactersMax }) })
  .meta({ id: "Name", examples: [{ name: "Support" }] });

export const projectNetwork = z
  .strictObject({ network: networkPolicySchema.nullable() })
  .meta({ id: "ProjectNetwork", examples: [{ network: ["GET https://api.example.com"] }] });

export const organizationParams = z.object({ organizationId: givenId });
export const projectParams = z.object({ projectId: givenId });
