/**
 * "Inherit from Organization": which of its organization's credentials a project uses, for the classes where it does not
 * use them by itself. A switch for a provider decides over the one for its class; with neither, nothing is inherited. The
 * project's manifest lists each switch. Does not know whether there is anything to inherit.
 */
import { StepvaultError } from "../../protocol/error.ts";
import {
  findIntegration,
  inheritanceModes,
  type Integration,
  type IntegrationClass,
} from "../../protocol/integrations.ts";
import { holderOf } from "../secrets/context.ts";
import { switchEntry, switchName } from "./credential-entries.ts";
import type { CredentialContext } from "./credentials.ts";
import { manageAction } from "./gates.ts";
import { plainEntry } from "../encryption/manifest.ts";
import { perform, permit } from "../audit/perform.ts";
import { isWritten, readLevels, withOpenLevel } from "./stored-credentials.ts";
import { parseId } from "../tenancy/tenancy.ts";
import { changeManifest } from "../encryption/update-manifest.ts";

export interface InheritanceSwitch {
  readonly class: IntegrationClass;
  /** Empty: the whole class. */
  readonly integration: string;
  readonly inherits: boolean;
}

export interface ListedSwitch extends InheritanceSwitch {
  /** It is not what was written: what it decides is not usable until it is switched anew. */
  readonly tampered: boolean;
}

/** Whether a project with these switches uses its organization's credential of an integration. */
export function inheritsFrom(switches: readonly InheritanceSwitch[], integration: Integration): boolean {
  if (inheritanceModes[integration.class] === "auto") return true;
  const ofClass = switches.filter((entry) => entry.class === integration.class);
  const deciding =
    ofClass.find((entry) => entry.integration === integration.id) ?? ofClass.find((entry) => entry.integration === "");
  return deciding?.inherits ?? false;
}

/**
 * Switches inheritance of a class, or of one of its providers; `undefined` takes the switch away, and a provider follows its
 * class again. Throws ERR_INHERITANCE_FIXED, ERR_INTEGRATION_UNKNOWN, ERR_SECRET_TAMPERED when the project's key or manifest
 * is not what was stored, what `authorize` throws.
 */
export async function switchInheritance(
  context: CredentialContext,
  request: {
    projectId: string;
    class: IntegrationClass;
    integration?: string | undefined;
    inherits: boolean | undefined;
  },
): Promise<void> {
  const place = { projectId: parseId(request.projectId, "project") };
  const integration = checkSwitchable(request.class, request.integration);
  const { inherits } = request;
  const target = [{ type: "inheritance", name: integration === "" ? request.class : integration }];
  const action = await manageAction(context.database, place);
  await perform(context, { action, place, event: "inheritance.switch", target }, async (client, permission) => {
    const project = await holderOf(client, permission);
    const key = [project.id, request.class, integration];
    await changeManifest(client, context.master, project, async ({ manifest }) => {
      if (inherits === undefined) {
        await client.query(
          "delete from credential_inheritance where project_id = $1 and class = $2 and integration = $3",
          key,
        );
        manifest.delete(switchName({ class: request.class, integration }));
        return;
      }
      await client.query(
        `insert into credential_inheritance (project_id, class, integration, inherits) values ($1, $2, $3, $4)
         on conflict (project_id, class, integration) do update set inherits = $4, updated_at = now()`,
        [...key, inherits],
      );
      const entry = switchEntry({ projectId: project.id, class: request.class, integration, inherits });
      manifest.set(entry.name, plainEntry(entry));
    });
    return { result: undefined, details: { inherits: inherits ?? null } };
  });
}

/** The switches of a project that are set, classes first. Throws what `authorize` throws. */
export async function listInheritance(context: CredentialContext, projectId: string): Promise<ListedSwitch[]> {
  const act = { action: "project.read", place: { projectId }, event: "inheritance.list" } as const;
  const permission = await permit(context, act);
  const { levels } = await readLevels(context.database, { ...permission, levels: ["project"] });
  return await withOpenLevel(context.master, levels[0]!, (open) =>
    open.switches.map((entry) => ({ ...entry, tampered: !isWritten(open, entry) })),
  );
}

/** The id of the integration, empty for the whole class. What is no class is not repeated. */
function checkSwitchable(givenClass: string, id: string | undefined): string {
  const integration = id === undefined ? undefined : findIntegration(id);
  const mode = Object.hasOwn(inheritanceModes, givenClass)
    ? inheritanceModes[givenClass as IntegrationClass]
    : undefined;
  if (mode === "opt_in" && (integration === undefined || integration.class === givenClass))
    return integration?.id ?? "";
  const why =
    mode === undefined
      ? "there is no such class"
      : mode === "auto"
        ? "every project inherits what its organization has; only a credential of its own takes its place"
        : "the provider is of another class";
  throw new StepvaultError("ERR_INHERITANCE_FIXED", `Cannot switch inheritance: ${why}`);
}
