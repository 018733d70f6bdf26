/**
 * Many secrets at once, as the HTTP API takes and gives them: texts of `.env` lines or JSON. The text of an import holds
 * values, and so does that of an export; what tells of an import does not. Imports nothing of ours beyond protocol/.
 */
import { z } from "zod";
import { shownList } from "./secrets.ts";

/** More bytes are refused by the vault. */
export const importTextCharactersMax = 4 * 1024 * 1024;

const formats = z.enum(["env", "json"]);

export const importInput = z
  .strictObject({
    text: z.string().max(importTextCharactersMax).describe("At most 4 MiB and 1,000 secrets"),
    format: formats.optional().describe("Without one, a text that begins with a brace is JSON"),
    overwrite: z.boolean().default(false).describe("Secrets that differ get what the text has; else they are kept"),
    prune: z.boolean().default(false).describe("Secrets that the text does not have are deleted"),
    dryRun: z.boolean().default(false).describe("Only tells what would be done"),
    ifToken: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .describe("Of a dry run: goes ahead only while text and secrets are those that it saw"),
  })
  .meta({ id: "SecretImport", examples: [{ text: "STRIPE_KEY=example-value\n", dryRun: true }] });

export const importedSchema = z
  .object({
    dryRun: z.boolean().describe("Whether nothing was done"),
    changes: shownList(
      z.object({
        name: z.string(),
        action: z.enum(["create", "update", "restore", "keep", "same", "delete"]),
        differs: shownList(z.enum(["value", "policy", "description", "tags"])),
      }),
    ),
    token: z.string().describe("For `ifToken`"),
  })
  .meta({ id: "SecretImportResult" });

export const exportInput = z.strictObject({ format: formats }).meta({ id: "SecretExport" });

export const exportedSchema = z
  .object({
    text: z.string().describe("Names and values"),
    withheld: shownList(z.object({ name: z.string(), why: z.string() })).describe("Not in the text"),
  })
  .meta({ id: "SecretExportResult" });
