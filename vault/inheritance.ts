/**
 * "Inherit from Organization": which of its organization's credentials a project uses, for the classes where it does not
 * use them by itself. A switch for a provider decides over the one for its class; with neither, nothing is inherited.
 * Does not know whether there is anything to inherit.
 */
import { StepvaultError } from "../protocol/error.ts";
import {
  findIntegration,
  inheritanceModes,
  type Integration,
  type IntegrationClass,
} from "../protocol/integrations.ts";
import { authorize } from "./authorize.ts";
import { manageAction } from "./gates.ts";
import { type ActContext, perform } from "./perform.ts";
import { parseId } from "./tenancy.ts";

export interface InheritanceSwitch {
  readonly class: IntegrationClass;
  /** Empty: the whole class. */
  readonly integration: string;
  readonly inherits: boolean;
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
 * class again. Throws ERR_INHERITANCE_FIXED, ERR_INTEGRATION_UNKNOWN, what `authorize` throws.
 */
export async function switchInheritance(
  context: ActContext,
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
  await perform(context, { action, place, event: "inheritance.switch", target }, async (client) => {
    const key = [place.projectId, request.class, integration];
    if (inherits === undefined) {
      await client.query(
        "delete from credential_inheritance where project_id = $1 and class = $2 and integration = $3",
        key,
      );
    } else {
      await client.query(
        `insert into credential_inheritance (project_id, class, integration, inherits) values ($1, $2, $3, $4)
         on conflict (project_id, class, integration) do update set inherits = $4, updated_at = now()`,
        [...key, inherits],
      );
    }
    return { result: undefined, details: { inherits: inherits ?? null } };
  });
}

/** The switches of a project that are set, classes first. Throws what `authorize` throws. */
export async function listInheritance(context: ActContext, projectId: string): Promise<InheritanceSwitch[]> {
  await authorize(context.database, context.actor, "project.read", { projectId });
  const { rows } = await context.database.query<InheritanceSwitch>(
    "select class, integration, inherits from credential_inheritance where project_id = $1 order by integration, class",
    [projectId],
  );
  return rows;
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
