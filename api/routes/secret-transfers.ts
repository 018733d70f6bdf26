/** Many secrets at once: importing a text of them, with a look at what it would do first, and exporting them. */
import { exportedSchema, exportInput, importedSchema, importInput } from "../../protocol/http/secret-transfers.ts";
import type { Route } from "../route.ts";
import { forBothPlaces } from "./secret-places.ts";

/** For 4 MiB of text, of which JSON escapes some. */
const importBytesMax = 12 * 1024 * 1024;

export const secretTransferRoutes: readonly Route[] = [
  ...forBothPlaces({
    method: "POST",
    path: "/secrets-import",
    operationId: "importSecrets",
    summary: "Import a text of secrets, all of it or nothing; or see what that would do",
    description:
      "With `ifToken` of a dry run it goes ahead only while text and secrets are the same, else 412. Sent again, it finds " +
      "everything the same and does nothing.",
    names: {},
    body: importInput,
    responses: { 200: importedSchema },
    bodyBytesMax: importBytesMax,
    async handler({ vault, place, body }) {
      const { dryRun, ...request } = body;
      const { changes, token } = dryRun
        ? await vault.secrets.previewImport({ place, ...request })
        : await vault.secrets.import({ place, ...request });
      return { dryRun, changes, token };
    },
  }),
  ...forBothPlaces({
    method: "POST",
    path: "/secrets-export",
    operationId: "exportSecrets",
    summary: "The values of a place's own secrets as a text, for a person who may see them",
    description: "The audit log names each. What is sealed, switched off or kept elsewhere is withheld.",
    names: {},
    body: exportInput,
    responses: { 200: exportedSchema },
    handler: async ({ vault, place, body }) => await vault.secrets.export({ place, format: body.format }),
  }),
];
