/**
 * Why a reference resolves to what it does, and whether all references of a step would: before it is saved, and without
 * opening any value. The same rule as of a run (candidates.ts) decides.
 */
import { type ErrorCode, StepvaultError } from "../../protocol/error.ts";
import type { SecretCandidate, SecretLevel, SecretState } from "./candidates.ts";
import type { SecretContext } from "./context.ts";
import { permit } from "../audit/perform.ts";
import { distinct, refusalOf, type References, type SecretReference, withCandidates } from "./resolve.ts";
import { parseSecretName } from "./secret-rows.ts";
import type { StepAt } from "./step-facts.ts";

export interface ExplainedCandidate {
  readonly level: SecretLevel;
  readonly name: string;
  readonly state: SecretState;
  readonly why: string;
  readonly version?: number;
}

export interface SecretExplanation {
  readonly name: string;
  readonly winner: { readonly level: SecretLevel; readonly name: string; readonly version: number } | undefined;
  /** Nearest first. */
  readonly candidates: readonly ExplainedCandidate[];
}

export interface StepCheck {
  readonly references: number;
  readonly failures: readonly (SecretReference & { readonly code: ErrorCode; readonly why: string })[];
  /** Empty when nothing would fail. */
  readonly summary: string;
}

/** Throws ERR_SECRET_NAME_INVALID, ERR_SECRET_TAMPERED, and what `authorize` throws. */
export async function explainSecret(
  context: SecretContext,
  { name, ...at }: StepAt & { name: string; now?: Date | undefined },
): Promise<SecretExplanation> {
  const place = { projectId: at.projectId };
  await permit(context, { action: "secret.list", place, event: "secret.explain" });
  const references = [{ name: parseSecretName(name) }];
  return await withCandidates(context, { ...at, references, allLevels: true }, async ([judged]) => {
    const candidates = judged?.candidates ?? [];
    const winner = candidates.find(({ state }) => state === "in force");
    return {
      name,
      winner: winner && { level: winner.level, name: winner.name, version: winner.stored!.version },
      candidates: candidates.map(explained),
    };
  });
}

function explained({ level, name, state, why, stored }: SecretCandidate): ExplainedCandidate {
  return { level, name, state, why, ...(stored && { version: stored.version }) };
}

/**
 * Whether each reference of a step would resolve now; a step that is not saved yet is checked as its author's. Throws
 * ERR_SECRET_TAMPERED when nothing of the project can be proven, and what `authorize` throws.
 */
export async function checkReferences(context: SecretContext, request: References): Promise<StepCheck> {
  const { projectId } = request;
  await permit(context, { action: "secret.reference", place: { projectId }, event: "secret.check" });
  const references = distinct(request.references);
  if (references.length === 0) return { references: 0, failures: [], summary: "" };
  const judged = await withCandidates(context, { ...request, references }, async (all) => all);
  const failures: StepCheck["failures"][number][] = [];
  for (const { reference, candidates } of judged) {
    if (candidates.some(({ state }) => state === "in force")) continue;
    const error = await refusalOf(context.database, projectId, { reference, candidates });
    failures.push({ ...reference, code: error.code, why: error.message });
  }
  return { references: references.length, failures, summary: summaryOf(failures) };
}

function summaryOf(failures: StepCheck["failures"]): string {
  if (failures.length === 0) return "";
  const many = failures.length > 1;
  return `${many ? `these ${failures.length} references` : "this reference"} will fail: ${failures.map(({ why }) => why).join("; ")}`;
}

/** The check as an error, for who will not save what fails. Throws ERR_STEP_REFERENCES. */
export function requireReferences({ failures, summary }: StepCheck): void {
  if (failures.length === 0) return;
  throw new StepvaultError("ERR_STEP_REFERENCES", `Cannot save the step: ${summary}`);
}
