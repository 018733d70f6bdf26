/**
 * Leaked values as the HTTP API takes them and tells of them. The text that somebody found is taken and never given back.
 * Imports nothing of ours beyond protocol/.
 */
import { z } from "zod";
import { secretValueBytesMax } from "../secret.ts";
import { moment, shownId } from "./common.ts";
import { levels, secretUseSchema, shownList } from "./secrets.ts";

/** The vault counts bytes. */
export const leakTextCharactersMax = 256 * 1024;

const text = z
  .string()
  .min(1)
  .max(leakTextCharactersMax)
  .describe("A value, a key, or the part of a file or log that was found; at most 256 KiB");

export const leakSearch = z
  .strictObject({ text })
  .meta({ id: "LeakSearch", examples: [{ text: "KEY=example-value" }] });

export const leakEnd = z
  .strictObject({
    text,
    replacement: z
      .string()
      .min(1)
      .max(secretValueBytesMax)
      .optional()
      .describe("The next value of each secret that leaked; without one they are switched off"),
  })
  .meta({ id: "LeakEnd", examples: [{ text: "KEY=example-value" }] });

const placeSchema = z.union([z.object({ organizationId: shownId }), z.object({ projectId: shownId })]);

export const leakSchema = z
  .object({
    secrets: shownList(
      z.object({
        id: shownId,
        name: z.string(),
        place: placeSchema,
        version: z.int(),
        inForce: z.boolean().describe("Whether runs still get this version"),
        sealed: z.boolean(),
        createdAt: moment,
        readers: shownList(z.object({ personId: z.string(), name: z.string(), by: z.string() })).describe(
          "Who could have a step tell it; of a project's secret",
        ),
        revealedTo: shownList(z.string()).describe("Roles that could be shown it"),
        uses: shownList(secretUseSchema),
      }),
    ),
    credentials: shownList(
      z.object({
        place: placeSchema,
        integration: z.string(),
        level: levels,
        version: z.int(),
        inForce: z.boolean(),
      }),
    ),
    keys: shownList(
      z.object({
        id: shownId,
        kind: z.enum(["key", "embed key"]),
        place: placeSchema,
        hint: z.string(),
        name: z.string().optional(),
        inForce: z.boolean(),
        createdBy: z.object({ kind: z.string(), id: z.string() }),
        lastUsedAt: moment.nullable(),
        children: z.int().describe("Embed keys made with it, which end with it"),
      }),
    ),
    unknownVersions: z.int().describe("Versions of secrets that cannot be compared"),
  })
  .meta({ id: "Leak" });

export const endedLeakSchema = z
  .object({
    leak: leakSchema.describe("As it was before"),
    ended: shownList(
      z.object({
        type: z.enum(["secret", "credential", "key", "embed key"]),
        id: z.string(),
        done: z.enum(["rotated", "switched off", "revoked", "nothing to do"]),
        error: z.string().optional().describe("The code of what kept it from being ended: it is as it was"),
      }),
    ),
  })
  .meta({ id: "EndedLeak" });
