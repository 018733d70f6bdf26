/** `stepvault agents` and `stepvault embed-keys`: what pages in a browser may start, as the operator. */
import type { Agent } from "../vault/platform-keys/agents.ts";
import type { Handlers } from "./commands.ts";
import { UsageError } from "./given.ts";
import { data, dataJson, note } from "./terminal.ts";
import { day, print, printDone } from "./vault-options.ts";
import { withVault } from "./with-vault.ts";

const dayMs = 86_400_000;

export const agentsHandlers: Handlers = {
  async list(given) {
    const projectId = given.required("project");
    print<Agent>(await withVault(async (vault) => await vault.agents.list(projectId)), {
      json: given.json,
      head: ["id", "kind", "public", "steps", "name"],
      cells: (agent) => [agent.id, agent.kind, agent.public ? "yes" : "no", String(agent.stepIds.length), agent.name],
    });
  },
  async create(given) {
    const wanted = {
      projectId: given.required("project"),
      name: given.required("NAME"),
      kind: (given.text("kind") ?? "agent") as Agent["kind"],
      public: given.has("public"),
      stepIds: given.texts("step"),
    };
    const agent = await withVault(async (vault) => await vault.agents.create(wanted));
    printDone(given, agent, { data: agent.id });
  },
  async change(given) {
    const [name, isPublic, isPrivate] = [given.text("name"), given.has("public"), given.has("private")];
    if (isPublic && isPrivate) throw new UsageError("--public and --private cannot both be");
    const change = {
      ...(name !== undefined && { name }),
      ...((isPublic || isPrivate) && { public: isPublic }),
      ...(given.has("step") && { stepIds: given.texts("step") }),
    };
    if (Object.keys(change).length === 0)
      throw new UsageError("say what to change: --name, --public, --private or --step");
    const at = { projectId: given.required("project"), id: given.required("AGENT") };
    const agent = await withVault(async (vault) => await vault.agents.change({ ...at, ...change }));
    printDone(given, agent, { note: `${agent.name}: ${agent.public ? "public" : "private"}` });
  },
  async delete(given) {
    const agent = { projectId: given.required("project"), id: given.required("AGENT") };
    await withVault(async (vault) => await vault.agents.delete(agent));
    printDone(given, { id: agent.id, deleted: true }, {});
  },
};

export const embedKeysHandlers: Handlers = {
  async create(given) {
    const days = given.number("expires-days");
    const [agentId, workforceId] = [given.text("agent"), given.text("workforce")];
    if ((agentId === undefined) === (workforceId === undefined))
      throw new UsageError("say for whom: --agent ID or --workforce ID, and one of them");
    const wanted = {
      projectId: given.required("project"),
      agentId,
      workforceId,
      origins: given.has("origin") ? given.texts("origin") : undefined,
      expiresAt: days === undefined ? undefined : new Date(Date.now() + days * dayMs),
      requestsMax: given.number("requests-max"),
      requestsPerMinuteMax: given.number("requests-per-minute-max"),
    };
    const { key, metadata } = await withVault(async (vault) => await vault.embedKeys.create(wanted));
    const lost = `nobody has the new key ${metadata.id}: stepvault embed-keys revoke ${metadata.id} --project ${wanted.projectId}`;
    if (given.json) return dataJson({ key, ...metadata }, 0, lost);
    note(`${metadata.id}, conversations begin with ${metadata.conversationPrefix}; it is shown this once`);
    data(`${key}\n`, lost);
  },
  async list(given) {
    const projectId = given.required("project");
    const keys = await withVault(async (vault) => await vault.embedKeys.list(projectId));
    print<(typeof keys)[number]>(keys, {
      json: given.json,
      head: ["id", "agent", "state", "expires", "used", "origins", "hint"],
      cells: (key) => [
        key.id,
        key.agentId,
        key.revokedAt === null ? "on" : "revoked",
        day(key.expiresAt),
        String(key.requestsUsed),
        key.origins?.join(" ") ?? "any",
        key.hint,
      ],
    });
  },
  async revoke(given) {
    const key = { projectId: given.required("project"), keyId: given.required("KEY_ID") };
    await withVault(async (vault) => await vault.embedKeys.revoke(key));
    printDone(given, { id: key.keyId, revoked: true }, {});
  },
};
