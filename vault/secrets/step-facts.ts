/**
 * What is known of the step that refers to secrets, for policies that are for certain steps, agents or roles: from the
 * database alone, as whoever adds a job can write what they like into it.
 */
import type { Queryable } from "../../database/server.ts";
import { idSchema } from "../../protocol/ids.ts";
import type { Capacity, OrganizationRole, ProjectRole } from "../../protocol/roles.ts";
import type { Actor } from "../tenancy/actor.ts";
import { capacitiesOf } from "../tenancy/authorize.ts";

export interface StepFacts {
  readonly stepId: string | undefined;
  /** Agents and workforces that the step belongs to. */
  readonly agents: readonly string[];
  /** What the roles of the person who saved the step amount to now; `system`: the deployment itself saved it. */
  readonly author: readonly Capacity[] | "system" | undefined;
}

/** A saved step's version, the newest without a number; without an id, code that is sent along with its run. */
export interface StepAt {
  readonly projectId: string;
  readonly stepId?: string | undefined;
  readonly stepVersion?: number | undefined;
  /** Who is about to save it, when it is not saved yet. */
  readonly author?: Actor | undefined;
}

/** A step that is not there is like code that nobody saved. */
export async function readStepFacts(database: Queryable, at: StepAt): Promise<StepFacts> {
  const saved = await readSaved(database, at);
  if (at.author === undefined) return saved;
  return { ...saved, author: await readAuthor(database, at.projectId, at.author) };
}

async function readAuthor(database: Queryable, projectId: string, author: Actor): Promise<StepFacts["author"]> {
  if (author.kind !== "person") return author.kind === "system" ? "system" : [];
  const { rows } = await database.query<RolesRow>(
    `select nullif(o.role, 'member') as "organizationRole", m.role as "projectRole", m.can_create_assets as "canCreateAssets"
     from projects p join organization_members o on o.organization_id = p.organization_id and o.person_id = $2
     left join project_members m on m.project_id = p.id and m.person_id = $2 where p.id = $1`,
    [projectId, author.id],
  );
  return rows[0] === undefined ? [] : capacitiesOf(rows[0]);
}

interface RolesRow {
  readonly organizationRole: OrganizationRole | null;
  readonly projectRole: ProjectRole | null;
  readonly canCreateAssets: boolean | null;
}

async function readSaved(database: Queryable, { projectId, stepId, stepVersion }: StepAt): Promise<StepFacts> {
  const nobody = { stepId: undefined, agents: [], author: undefined };
  const id = idSchema.safeParse(stepId).data;
  if (id === undefined) return nobody;
  const { rows } = await database.query<RolesRow & { agents: string[]; kind: Actor["kind"] | null }>(
    `select array(select a.agent_id::text from agent_steps a join agents g on g.id = a.agent_id
                  where a.step_id = s.id and g.project_id = s.project_id) as agents,
            s.created_by_kind as kind, nullif(o.role, 'member') as "organizationRole", m.role as "projectRole",
            m.can_create_assets as "canCreateAssets"
     from steps s
     join projects p on p.id = s.project_id
     left join organization_members o on s.created_by_kind = 'person'
       and o.organization_id = p.organization_id and o.person_id = s.created_by
     left join project_members m on s.created_by_kind = 'person'
       and m.project_id = p.id and m.person_id = s.created_by
     where s.project_id = $1 and s.id = $2 and ($3::int is null or s.version = $3)
     order by s.version desc limit 1`,
    [projectId, id, stepVersion ?? null],
  );
  const row = rows[0];
  if (row === undefined) return nobody;
  const { agents, kind, ...roles } = row;
  if (kind === "system") return { stepId: id, agents, author: "system" };
  return { stepId: id, agents, author: kind === null ? undefined : capacitiesOf(roles) };
}
