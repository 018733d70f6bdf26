/**
 * Secrets as the HTTP API takes and shows them. A value is in two schemas only: that of a new value, which is taken, and that
 * of a revealed one, which is given; what else shows a secret has no field for it. Names in paths are held to the rule of
 * names, so that most of what is pasted there by mistake is refused before anything looks at it. Imports nothing of ours
 * beyond protocol/.
 */
import { z } from "zod";
import { secretPolicySchema } from "../secret-policy.ts";
import { secretPointerSchema } from "../secret-source.ts";
import { secretNameSchema, secretValueBytesMax } from "../secret.ts";
import { givenId, moment, pageOf, pageQuery, shownId } from "./common.ts";

/** A list that is only shown: the same schema as an array's, for values that nobody may change. */
export function shownList<Item extends z.ZodType>(
  item: Item,
): z.ZodType<readonly z.output<Item>[], readonly z.input<Item>[]> {
  return z.array(item);
}

/** The part of a path that names a secret. */
export const secretNames = { secretName: secretNameSchema };

const versionNumber = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);
const versionInQuery = z.coerce.number().pipe(versionNumber);
const daysInQuery = z.coerce.number().int().min(0).max(36_500);

// Where a value is kept is said beside its policy.
const { source: _elsewhere, ...givenPolicy } = secretPolicySchema.shape;
export const secretPolicyInput = z.strictObject(givenPolicy).meta({
  id: "SecretPolicyInput",
  examples: [{ sealed: true, hosts: ["https://api.stripe.com"] }],
});

/** Of an organization's secret; the projects that may use it. */
const accessInput = z.union([z.literal("all"), z.array(givenId).max(10_000)]);

const metadataShape = {
  // By characters, which the vault counts; twice as many units hold them.
  description: z.string().max(1_000).optional().describe("At most 500 characters; many see it"),
  tags: z.array(z.string().min(1).max(100)).max(20).optional(),
  expiresAt: moment.nullable().optional().describe("From then on a run that refers to it is rejected; null: never"),
  rotationDays: z
    .int()
    .min(1)
    .max(3_650)
    .nullable()
    .optional()
    .describe("Days with one version after which it is listed as stale; null: never"),
  access: accessInput
    .optional()
    .describe("Of an organization's secret: the projects that may use it, or `all`; none at first"),
};

export const secretInput = z
  .strictObject({
    value: z.string().min(1).max(secretValueBytesMax).optional().describe("1 to 65,536 bytes of UTF-8"),
    source: secretPointerSchema.optional().describe("Where the value is kept instead"),
    policy: secretPolicyInput.optional().describe("Without one the secret keeps the policy that it has"),
    ...metadataShape,
    endUnusedHours: z
      .int()
      .min(1)
      .max(8_760)
      .optional()
      .describe("Ends the version before this one by itself, once no run used it for so many hours"),
  })
  .refine(
    ({ value, source }) => (value === undefined) !== (source === undefined),
    "an object with a value or a source, and one of them",
  )
  .meta({ id: "SecretInput", examples: [{ value: "example-value", description: "For the billing steps" }] });

export const secretChange = z
  .strictObject(metadataShape)
  .refine((fields) => Object.keys(fields).length > 0, "an object with at least one field")
  .meta({ id: "SecretChange", examples: [{ tags: ["billing"], rotationDays: 90 }] });

export const rollbackInput = z.strictObject({ toVersion: versionNumber }).meta({ id: "Rollback" });

export const destroyInput = z
  .strictObject({
    versions: z
      .union([z.literal("all"), z.array(versionNumber).min(1).max(100)])
      .describe("`all`: the whole secret, with its name"),
  })
  .meta({ id: "Destruction", examples: [{ versions: [1, 2] }] });

export const revealInput = z
  .strictObject({ version: versionNumber.optional().describe("Without one, the version in use") })
  .meta({ id: "RevealInput" });

export const revealedSchema = z
  .object({ name: z.string(), version: z.int(), value: z.string() })
  .meta({ id: "RevealedSecret", description: "The one answer besides an export that holds a value" });

export const storedSchema = z
  .object({ name: z.string(), version: z.int().describe("The version that it has now; its ETag") })
  .meta({ id: "StoredSecret" });

export const destroyedSchema = z
  .object({ name: z.string(), destroyed: z.array(z.int()).describe("Versions whose value is gone for good") })
  .meta({ id: "DestroyedSecret" });

const actorSchema = z.object({ kind: z.string(), id: z.string() });

/** As it is stored: without transforms, since answers are encoded. */
const secretPolicyShown = z
  .object({
    sealed: z.boolean(),
    hosts: z.array(z.string()),
    places: z.object({
      headers: z.array(z.string()),
      basic: z.boolean(),
      path: z.boolean(),
      query: z.boolean(),
      body: z.boolean(),
      sign: z.array(z.string()),
    }),
    steps: z.array(z.string()),
    agents: z.array(z.string()),
    roles: z.array(z.string()),
    source: z
      .object({ source: z.string(), path: z.string(), field: z.string(), version: z.int().optional() })
      .optional()
      .describe("Where the value is kept instead"),
  })
  .meta({ id: "SecretPolicy" });

export const levels = z.enum(["project", "organization"]);

export const secretSchema = z
  .object({
    id: shownId,
    name: z.string(),
    level: levels,
    inherited: z
      .boolean()
      .describe("Of the organization, in a project: used there, and changed in the organization only"),
    version: z.int(),
    disabled: z.boolean(),
    deleted: z.boolean(),
    expiresAt: moment.nullable(),
    expired: z.boolean(),
    description: z.string(),
    tags: shownList(z.string()),
    rotationDays: z.int().nullable(),
    rotationDueAt: moment.nullable(),
    access: z.enum(["all", "selected"]).nullable().describe("Of the organization's: which projects may use it"),
    maskable: z.boolean().describe("Whether the value is long enough to be masked in logs"),
    policy: secretPolicyShown.optional().describe("Absent where the stored one is none"),
    tampered: z.boolean().describe("Changed past Stepvault: a run that refers to it is rejected"),
    risk: z.string().describe("Who can act with it, in a sentence"),
    lastUsedAt: moment.nullable(),
    createdAt: moment,
    updatedAt: moment,
  })
  .meta({ id: "Secret" });
export const secretPage = pageOf(secretSchema, "SecretPage");

const secretVersionSchema = z
  .object({
    version: z.int(),
    current: z.boolean(),
    createdAt: moment,
    createdBy: actorSchema.optional(),
    policy: secretPolicyShown.optional(),
    destroyedAt: moment.nullable(),
    endUnusedHours: z.int().nullable().describe("It ends by itself, once unused for so long"),
    uses: z.number(),
    lastUsedAt: moment.nullable(),
  })
  .meta({ id: "SecretVersion" });
export const secretVersionPage = pageOf(secretVersionSchema, "SecretVersionPage");

export const secretUseSchema = z
  .object({
    version: z.int(),
    projectId: shownId,
    step: z
      .object({ id: z.string(), name: z.string().optional() })
      .optional()
      .describe("Absent: code that was sent along with its run"),
    caller: z.string().optional().describe("As far as the orchestrator said"),
    uses: z.number(),
    firstUsedAt: moment,
    lastUsedAt: moment,
    lastRunId: z.string(),
  })
  .meta({ id: "SecretUse" });
export const secretUsePage = pageOf(secretUseSchema, "SecretUsePage");

export const secretUsesQuery = z.strictObject({
  ...pageQuery.shape,
  version: versionInQuery.optional(),
  since: moment.optional(),
});

export const secretAccessSchema = z
  .object({
    people: shownList(
      z.object({
        personId: z.string(),
        name: z.string(),
        in: shownList(z.object({ projectId: shownId, by: z.string() })).describe("Where, and by which of their roles"),
      }),
    ),
    projectIds: shownList(shownId),
    complete: z.boolean().describe("Whether these are all of them"),
    risk: z.string(),
    hints: shownList(z.object({ id: z.string(), text: z.string() })),
  })
  .meta({ id: "SecretAccess" });

export const dependentsQuery = z.strictObject({
  days: daysInQuery.default(30).describe("How far back uses are looked for"),
});

export const dependentsSchema = z
  .object({
    steps: shownList(z.object({ projectId: shownId, id: shownId, version: z.int(), name: z.string() })),
    uses: shownList(secretUseSchema),
    fallback: z.boolean().describe("The organization's secret of the same name would be used instead"),
  })
  .meta({ id: "SecretDependents" });

export const unusedQuery = z.strictObject({ ...pageQuery.shape, days: daysInQuery.default(90) });

export const tombstonesQuery = z.strictObject({ ...pageQuery.shape, name: secretNameSchema.optional() });

const tombstoneSchema = z
  .object({
    organizationId: shownId,
    projectId: shownId.optional().describe("Absent for a secret of the organization"),
    secretId: shownId,
    name: z.string(),
    version: z.int(),
    keyDigest: z.string().describe("Of the wrapped key that is no more"),
    by: actorSchema,
    time: z.string(),
    signed: z
      .object({ purpose: z.string(), body: z.string(), publicKey: z.string(), signature: z.string() })
      .describe("Ed25519 over `<purpose>`, a line break and `<body>`"),
  })
  .meta({ id: "SecretTombstone" });
export const tombstonePage = pageOf(tombstoneSchema, "SecretTombstonePage");

export const secretVerdictSchema = z
  .object({
    changed: shownList(z.string()).describe("Names whose rows are not as they were written"),
    removed: shownList(z.string()).describe("Names whose rows are gone"),
    unproven: z.boolean().describe("Nothing can be proven: the key or the manifest is not what was stored"),
  })
  .meta({ id: "SecretVerdict" });

export const explainQuery = z
  .strictObject({ stepId: givenId.optional(), stepVersion: versionInQuery.optional() })
  .refine(
    ({ stepId, stepVersion }) => stepVersion === undefined || stepId !== undefined,
    "with stepVersion a stepId too",
  );

export const explanationSchema = z
  .object({
    name: z.string(),
    winner: z
      .object({ level: levels, name: z.string(), version: z.int() })
      .optional()
      .describe("Absent: a run that refers to it is rejected"),
    candidates: shownList(
      z.object({
        level: levels,
        name: z.string(),
        state: z.string(),
        why: z.string(),
        version: z.int().optional(),
      }),
    ).describe("Nearest first"),
  })
  .meta({ id: "SecretExplanation" });

const position = z
  .int()
  .min(1)
  .max(2 ** 31 - 1);

export const referencesInput = z
  .strictObject({
    references: z
      .array(z.strictObject({ name: secretNameSchema, line: position.optional(), column: position.optional() }))
      .max(1_000),
    stepId: givenId.optional(),
    stepVersion: versionNumber
      .optional()
      .describe("Of a saved version; without one it is asked as if the caller was about to save the step"),
  })
  .refine(
    ({ stepId, stepVersion }) => stepVersion === undefined || stepId !== undefined,
    "with stepVersion a stepId too",
  )
  .meta({ id: "ReferencesInput", examples: [{ references: [{ name: "stripe_key" }] }] });
