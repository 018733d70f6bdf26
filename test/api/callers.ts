/**
 * The API over a vault with one organization, people of every role, and another organization beside it. People are named by a
 * word, as in api.ts; everything else in the Authorization header goes through the real authenticator, so that platform keys
 * and embed keys are checked as they are in the service.
 */
import { expect } from "vitest";
import { createAuthenticator } from "../../api/principal.ts";
import { createId } from "../../protocol/ids.ts";
import type { KeyScope, OrganizationRole, ProjectRole } from "../../protocol/roles.ts";
import { type Actor, operator } from "../../vault/tenancy/actor.ts";
import { openStore, startApi, type TestApi, type TestStore } from "./api.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- what an answer has is what the tests are about.
  readonly body: any;
}

export interface Callers extends TestStore {
  readonly api: TestApi;
  readonly organizationId: string;
  readonly projectId: string;
  readonly otherProjectId: string;
  readonly foreignOrganizationId: string;
  readonly foreignProjectId: string;
  /** Everything that was answered, for what must be in no other answer. */
  readonly answers: readonly string[];
  call(
    method: string,
    path: string,
    more?: { as?: string; body?: unknown; headers?: Record<string, string> },
  ): Promise<Answer>;
  /** The Authorization header of a new key of the project. */
  keyWith(...scopes: KeyScope[]): Promise<string>;
  addStep(published?: boolean): Promise<string>;
  /** The newest event of the organization. */
  newestEvent(): Promise<{ event: string; outcome: string; details?: unknown; target?: unknown }>;
  /** Throws when a key was in more than the one answer that made it, or in the log. */
  requireShownOnce(keys: readonly string[]): void;
  close(): Promise<void>;
}

export const absentId = "01890000-0000-7000-8000-000000000000";

const people: readonly (readonly [string, OrganizationRole, ProjectRole?, boolean?])[] = [
  ["owner", "owner"],
  ["admin", "admin"],
  ["outsider", "member"],
  ["project-admin", "member", "admin"],
  ["editor", "member", "editor"],
  ["builder", "member", "member", true],
  ["member", "member", "member"],
  ["viewer", "member", "viewer"],
];

const nothing = { projectId: undefined, endsAt: undefined, embed: undefined, sessionId: undefined };

export async function openCallers(settings: Record<string, string> = {}): Promise<Callers> {
  const store = await openStore();
  const { vault, temporary } = store;
  const { tenancy } = vault;
  const organizationId = (await tenancy.createOrganization("Acme")).id;
  const foreignOrganizationId = (await tenancy.createOrganization("Other")).id;
  const makeProject = async (of: string, name: string): Promise<string> =>
    (await tenancy.createProject({ organizationId: of, name })).id;
  const projectId = await makeProject(organizationId, "Support");
  const otherProjectId = await makeProject(organizationId, "Sales");
  const foreignProjectId = await makeProject(foreignOrganizationId, "Theirs");
  for (const [personId, role, projectRole, canCreateAssets = false] of people) {
    await tenancy.setOrganizationMember({ organizationId, personId, name: personId, role });
    if (projectRole !== undefined)
      await tenancy.setProjectMember({ projectId, personId, role: projectRole, canCreateAssets });
  }
  const authenticator = createAuthenticator({ vault, oidc: undefined, ownOrigin: () => undefined });
  const api = await startApi(store, {
    settings: { STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: "100000", ...settings },
    authenticate: async (head) => {
      const [kind = "", id = ""] = (head.headers.authorization ?? "").split(" ");
      if (kind !== "operator" && kind !== "person") return await authenticator.authenticate(head);
      const actor: Actor = kind === "person" ? { kind, id } : operator;
      return { ...nothing, actor, id: `${actor.kind}:${actor.id}`, via: "token" };
    },
  });
  const answers: string[] = [];
  return {
    ...store,
    api,
    organizationId,
    projectId,
    otherProjectId,
    foreignOrganizationId,
    foreignProjectId,
    answers,
    async call(method, path, { as = "person owner", body, headers } = {}) {
      const response = await api.request(path, {
        method,
        as,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(headers === undefined ? {} : { headers }),
      });
      const text = await response.text();
      answers.push(text);
      const { status } = response;
      return { status, headers: response.headers, text, body: text === "" ? undefined : JSON.parse(text) };
    },
    async keyWith(...scopes) {
      const { key } = await vault.keys.createForProject({ projectId, name: "CI", scopes, expiry: "none" });
      return `${projectId}:${key}`;
    },
    async addStep(published = true) {
      const id = createId();
      await temporary.database.query(
        "insert into steps (id, version, project_id, name, language, code) values ($1, 1, $2, 'step', 'javascript', '')",
        [id, projectId],
      );
      if (published)
        await temporary.database.query(
          "insert into published_steps (step_id, project_id, version) values ($1, $2, 1)",
          [id, projectId],
        );
      return id;
    },
    async newestEvent() {
      return (await vault.audit.list({ organizationId, limit: 1 }))[0]!;
    },
    requireShownOnce(keys) {
      const log = api.log.join("\n");
      for (const key of keys) {
        const times = answers.filter((text) => text.includes(key)).length;
        if (times !== 1 || log.includes(key)) throw new Error(`a key was in ${times} answers, or in the log`);
      }
    },
    async close() {
      authenticator.close();
      await api.api.close();
      await store.dispose();
    },
  };
}

/** Whom a request is refused, each with 403 and a message that names who may. */
export async function expectForbidden(callers: readonly string[], ask: (as: string) => Promise<Answer>): Promise<void> {
  for (const as of callers) {
    const { status, body } = await ask(as);
    expect([as, status, body?.code]).toEqual([as, 403, "ERR_FORBIDDEN"]);
    expect(body.detail).toMatch(/it takes /);
  }
}

/** What somebody may not see answers like what is not there, in all but ids. */
export async function expectAlike(ids: readonly string[], ask: (id: string) => Promise<Answer>): Promise<void> {
  const shown: unknown[] = [];
  for (const id of ids) {
    const { status, body } = await ask(id);
    const { instance: _instance, requestId: _requestId, detail, ...rest } = body as Record<string, string>;
    shown.push({ status, ...rest, detail: detail?.replaceAll(id, "ID") });
  }
  expect(shown[0]).toMatchObject({ status: 404 });
  expect(new Set(shown.map((entry) => JSON.stringify(entry))).size).toBe(1);
}
