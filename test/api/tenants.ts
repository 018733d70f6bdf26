/**
 * An organization with two projects and its people, one more organization, and an API that tells people and keys by a word in
 * the Authorization header: `person builder`, `key admin` (of the first project), `organization-key admin`. `call` searches
 * every answer, headers too, for every value that the test made, unless the test says that the value belongs there; so each
 * test of a route is also one of where values go.
 */
import { randomBytes } from "node:crypto";
import { expect } from "vitest";
import type { Principal } from "../../api/principal.ts";
import { createId } from "../../protocol/ids.ts";
import type { KeyScope } from "../../protocol/roles.ts";
import type { Problem } from "../../protocol/http/common.ts";
import { type Actor, operator } from "../../vault/tenancy/actor.ts";
import { openStore, startApi, type TestApi, type TestStore } from "./api.ts";

export interface CallOptions {
  readonly as?: string;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
  /** The one answer where a value stands on purpose. */
  readonly holdsValue?: boolean;
}

export interface Answer<Body> {
  readonly status: number;
  readonly etag: string | null;
  readonly body: Body;
  readonly text: string;
}

export interface Tenants {
  readonly store: TestStore;
  readonly api: TestApi;
  readonly organizationId: string;
  readonly projectId: string;
  /** Of the same organization; nobody but the organization's admins has a part in it. */
  readonly otherProjectId: string;
  readonly foreignOrganizationId: string;
  readonly foreignProjectId: string;
  /** The paths that routes on secrets begin with. */
  readonly inProject: string;
  readonly inOrganization: string;
  /** A value that nothing may tell. */
  newValue(): string;
  /** A request by the operator, unless somebody else is named. */
  call<Body = Problem>(method: string, path: string, options?: CallOptions): Promise<Answer<Body>>;
  /** The project that holds the organization's own secrets, once there is one. */
  hiddenProject(): Promise<string>;
  /** Closes it all; throws when a value is in the log, the database or an answer. */
  close(): Promise<void>;
}

export async function openTenants(): Promise<Tenants> {
  const store = await openStore();
  const { tenancy } = store.vault;
  const [organizationId, foreignOrganizationId] = [
    (await tenancy.createOrganization("Acme")).id,
    (await tenancy.createOrganization("Other")).id,
  ];
  const project = async (id: string, name: string): Promise<string> =>
    (await tenancy.createProject({ organizationId: id, name })).id;
  const [projectId, otherProjectId] = [
    await project(organizationId, "Support"),
    await project(organizationId, "Sales"),
  ];
  const foreignProjectId = await project(foreignOrganizationId, "Theirs");
  await addPeople(store, { organizationId, projectId });
  const authenticate = async ({ headers }: { headers: { authorization?: string | undefined } }): Promise<Principal> =>
    principalOf(headers.authorization ?? "", { organizationId, projectId });
  const settings = { STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: "1000000" };
  const api = await startApi(store, { settings, authenticate });
  const values: string[] = [];
  const call = caller(api, values);
  return {
    store,
    api,
    organizationId,
    projectId,
    otherProjectId,
    foreignOrganizationId,
    foreignProjectId,
    inProject: `/v1/projects/${projectId}`,
    inOrganization: `/v1/organizations/${organizationId}`,
    newValue() {
      const value = `value-${randomBytes(12).toString("hex")}`;
      values.push(value);
      return value;
    },
    call,
    async hiddenProject() {
      const { rows } = await store.temporary.database.query<{ id: string }>(
        "select id from projects where shared and organization_id = $1",
        [organizationId],
      );
      return rows[0]!.id;
    },
    async close() {
      await api.api.close();
      const log = api.log.join("\n");
      expect(values.filter((value) => log.includes(value))).toEqual([]);
      store.vault.close();
      await store.temporary.dispose({ texts: { "the API's log": log } });
    },
  };
}

function caller(api: TestApi, values: readonly string[]): Tenants["call"] {
  return async <Body>(method: string, path: string, options: CallOptions = {}): Promise<Answer<Body>> => {
    const { as, body, headers, holdsValue = false } = options;
    const response = await api.request(path, {
      method,
      ...(as !== undefined && { as }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(headers && { headers }),
    });
    const text = await response.text();
    expect(response.headers.get("cache-control")).toBe("no-store");
    if (!holdsValue) {
      const whole = `${text}\n${JSON.stringify([...response.headers])}`;
      expect(
        values.some((value) => whole.includes(value)),
        `${method} ${path} tells a value`,
      ).toBe(false);
    }
    return {
      status: response.status,
      etag: response.headers.get("etag"),
      body: (text === "" ? undefined : JSON.parse(text)) as Body,
      text,
    };
  };
}

async function addPeople(
  { vault }: TestStore,
  { organizationId, projectId }: { organizationId: string; projectId: string },
): Promise<void> {
  const inOrganization = { owner: "owner", "organization-admin": "admin" } as const;
  const inProject = {
    "project-admin": { role: "admin" },
    editor: { role: "editor" },
    builder: { role: "member", canCreateAssets: true },
    member: { role: "member" },
    viewer: { role: "viewer" },
  } as const;
  for (const [personId, role] of Object.entries(inOrganization))
    await vault.tenancy.setOrganizationMember({ organizationId, personId, name: personId, role });
  await vault.tenancy.setOrganizationMember({ organizationId, personId: "nobody", name: "nobody", role: "member" });
  for (const [personId, roles] of Object.entries(inProject)) {
    await vault.tenancy.setOrganizationMember({ organizationId, personId, name: personId, role: "member" });
    await vault.tenancy.setProjectMember({ projectId, personId, ...roles });
  }
}

function principalOf(word: string, known: { organizationId: string; projectId: string }): Principal {
  const [kind, id = ""] = word.split(" ");
  const { organizationId, projectId } = known;
  const key = (projects: "all" | string[]): Actor => ({
    kind: "key",
    id: createId(),
    organizationId,
    projects,
    scopes: id === "" ? [] : (id.split(",") as KeyScope[]),
  });
  const actors: Record<string, () => Actor> = {
    operator: () => operator,
    person: () => ({ kind: "person", id }),
    key: () => key([projectId]),
    "organization-key": () => key("all"),
  };
  const nothing = { projectId: undefined, endsAt: undefined, embed: undefined, sessionId: undefined };
  return { actor: actors[kind!]!(), id: word, via: "token", ...nothing };
}

/** A problem without what is different in each answer. */
export function plain({ text }: Answer<unknown>, ...ids: readonly string[]): string {
  const { instance, requestId, ...rest } = JSON.parse(text) as Problem;
  expect(instance).toBe(`urn:stepvault:request:${requestId}`);
  let told = JSON.stringify(rest);
  for (const id of ids) told = told.replaceAll(id, "ID");
  return told;
}
