/**
 * Agents and workforces: named groups of a project's steps, private until somebody makes them public. They exist here so
 * that an embed key has a scope; how an agent decides which step to run is its platform's matter.
 */
import type { Queryable } from "../../database/server.ts";
import { StepvaultError } from "../../protocol/error.ts";
import { createId, idSchema } from "../../protocol/ids.ts";
import { type ActContext, perform, permit } from "../audit/perform.ts";
import { parseId } from "../tenancy/tenancy.ts";

const nameCharactersMax = 200;

export type AgentKind = "agent" | "workforce";

export interface Agent {
  readonly id: string;
  readonly projectId: string;
  readonly kind: AgentKind;
  readonly name: string;
  /** Whether embed keys may be made for it, and work. */
  readonly public: boolean;
  readonly stepIds: readonly string[];
  readonly createdAt: Date;
}

const columns = `a.id, a.project_id as "projectId", a.kind, a.name, a.public, a.created_at as "createdAt",
  array(select s.step_id::text from agent_steps s where s.agent_id = a.id order by 1) as "stepIds"`;

/** Throws ERR_AGENT_INVALID, also for a step of another project, and what `authorize` throws. */
export async function createAgent(
  context: ActContext,
  agent: Pick<Agent, "projectId" | "kind" | "name" | "public" | "stepIds">,
): Promise<Agent> {
  const projectId = parseId(agent.projectId, "project");
  const act = { action: "step.write", place: { projectId }, event: `${agent.kind}.created` } as const;
  return await perform(context, act, async (client) => {
    const id = createId();
    await client.query("insert into agents (id, project_id, kind, name, public) values ($1, $2, $3, $4, $5)", [
      id,
      projectId,
      agent.kind,
      parseName(agent.name),
      agent.public,
    ]);
    await addSteps(client, { id, projectId, stepIds: agent.stepIds });
    return told(await findAgent(client, { id, projectId }));
  });
}

/** One that becomes private stops its embed keys. Throws ERR_AGENT_UNKNOWN, ERR_AGENT_INVALID, and what `authorize` throws. */
export async function changeAgent(
  context: ActContext,
  change: Pick<Agent, "projectId" | "id"> & Partial<Pick<Agent, "name" | "public" | "stepIds">>,
): Promise<Agent> {
  const projectId = parseId(change.projectId, "project");
  const act = { action: "step.write", place: { projectId }, event: "agent.changed" } as const;
  return await perform(context, act, async (client) => {
    const before = await findAgent(client, { id: change.id, projectId });
    const { id } = before;
    const { name = before.name, public: isPublic = before.public, stepIds } = change;
    await client.query("update agents set name = $2, public = $3 where id = $1", [id, parseName(name), isPublic]);
    if (stepIds !== undefined) {
      await client.query("delete from agent_steps where agent_id = $1", [id]);
      await addSteps(client, { id, projectId, stepIds });
    }
    return told(await findAgent(client, { id, projectId }));
  });
}

/** Its embed keys go with it. Throws ERR_AGENT_UNKNOWN and what `authorize` throws. */
export async function deleteAgent(context: ActContext, agent: Pick<Agent, "projectId" | "id">): Promise<void> {
  const projectId = parseId(agent.projectId, "project");
  const act = { action: "step.write", place: { projectId }, event: "agent.deleted" } as const;
  await perform(context, act, async (client) => {
    const { target, details } = told(await findAgent(client, { id: agent.id, projectId }));
    await client.query("delete from agents where id = $1", [target[0].id]);
    return { result: undefined, target, details };
  });
}

/** The project's agents and workforces, oldest first. */
export async function listAgents(context: ActContext, projectId: string): Promise<Agent[]> {
  const id = parseId(projectId, "project");
  await permit(context, { action: "project.read", place: { projectId: id }, event: "agent.listed" });
  const { rows } = await context.database.query<Agent>(
    `select ${columns} from agents a where a.project_id = $1 order by a.created_at, a.id`,
    [id],
  );
  return rows;
}

/** Locked against changes until the transaction ends. Throws ERR_AGENT_UNKNOWN. */
export async function findAgent(
  client: Queryable,
  { id, projectId, kind }: { id: string; projectId: string; kind?: AgentKind },
): Promise<Agent> {
  const { rows } = await client.query<Agent>(
    `select ${columns} from agents a
     where a.id = $1 and a.project_id = $2 and ($3::text is null or a.kind = $3) for update of a`,
    [idSchema.safeParse(id).data ?? null, projectId, kind ?? null],
  );
  if (rows[0] !== undefined) return rows[0];
  throw new StepvaultError("ERR_AGENT_UNKNOWN", `Cannot find the ${kind ?? "agent"}: no such id in the project`);
}

async function addSteps(
  client: Queryable,
  { id, projectId, stepIds }: { id: string; projectId: string; stepIds: readonly string[] },
): Promise<void> {
  const ids = new Set(stepIds.map((stepId) => idSchema.safeParse(stepId).data ?? null));
  const { rowCount } = await client.query(
    `insert into agent_steps (agent_id, step_id)
     select distinct $1::uuid, id from steps where project_id = $2 and id = any($3)`,
    [id, projectId, [...ids]],
  );
  if (rowCount !== ids.size) throw invalid(`${rowCount} of its ${ids.size} steps are the project's`);
}

function told(agent: Agent): {
  result: Agent;
  target: [{ type: string; id: string; name: string }];
  details: { public: boolean; steps: number };
} {
  const { id, name, kind } = agent;
  return {
    result: agent,
    target: [{ type: kind, id, name }],
    details: { public: agent.public, steps: agent.stepIds.length },
  };
}

function parseName(name: string): string {
  const characters = Array.from(name).length;
  if (characters >= 1 && characters <= nameCharactersMax && name.isWellFormed() && !name.includes("\0")) return name;
  throw invalid(`its name has ${characters} characters, 1 to ${nameCharactersMax} without NUL are allowed`);
}

function invalid(why: string): StepvaultError {
  return new StepvaultError("ERR_AGENT_INVALID", `Cannot set the agent or workforce: ${why}`);
}
