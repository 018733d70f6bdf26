/**
 * "Inherit from Organization". Goal: a model provider's credential of the organization is used by the projects that turned
 * inheritance on and by no other, per class or per provider; nothing can be switched where inheritance is not optional.
 * Real PostgreSQL and keys.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import type { IntegrationClass } from "../../../protocol/integrations.ts";
import { contextFor } from "../../../vault/audit/acting.ts";
import { type Actor, operator } from "../../../vault/tenancy/actor.ts";
import { listAudit } from "../../../vault/audit/audit.ts";
import { type CredentialContext, setCredential } from "../../../vault/credentials/credentials.ts";
import { effectiveCredential } from "../../../vault/credentials/effective.ts";
import { setEditorsManage } from "../../../vault/credentials/gates.ts";
import { listInheritance, switchInheritance } from "../../../vault/credentials/inheritance.ts";
import { type MasterKey, openMasterKey } from "../../../vault/encryption/master-key.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { createOrganization, createProject } from "../../../vault/tenancy/tenancy.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

const gates = { planGate: false, rolloutGate: false };

let temporary: Temporary;
let master: MasterKey;
let organizationId: string;
let projectId: string;
let otherProjectId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  master = await openMasterKey(temporary.database, temporary.config);
});
afterAll(async () => {
  master.close();
  await temporary.dispose();
});

beforeEach(async () => {
  const { database } = temporary;
  organizationId = (await createOrganization(database, "Acme")).id;
  projectId = (await createProject(database, organizationId, "Support")).id;
  otherProjectId = (await createProject(database, organizationId, "Sales")).id;
  for (const integration of ["openai", "anthropic"]) await set({ organizationId }, integration);
});

function as(who: string | Actor = operator): CredentialContext {
  const actor: Actor = typeof who === "string" ? { kind: "person", id: who } : who;
  return { ...contextFor(temporary.database, master, actor), master, gates };
}

async function set(place: { organizationId: string } | { projectId: string }, integration: string): Promise<void> {
  await setCredential(as(), { place, integration, fields: { api_key: "value-of-the-key" } });
}

async function inherit(inherits: boolean | undefined, integration?: string, project = projectId): Promise<void> {
  await switchInheritance(as(), { projectId: project, class: "model", integration, inherits });
}

async function levels(project = projectId): Promise<(string | undefined)[]> {
  const found = ["openai", "anthropic"].map(async (integration) => {
    return (await effectiveCredential(as(), { projectId: project, integration }))?.level;
  });
  return await Promise.all(found);
}

describe("inheritance", () => {
  test("requirement 25: a project has none of the organization's model credentials until it turns inheritance on", async () => {
    expect(await levels()).toEqual([undefined, undefined]);
    await inherit(true);
    expect(await levels()).toEqual(["organization", "organization"]);
    await inherit(false);
    expect(await levels()).toEqual([undefined, undefined]);
  });

  test("requirement 25: each project turns it on for itself, and others are as they were", async () => {
    await inherit(true);
    expect(await levels(otherProjectId)).toEqual([undefined, undefined]);
  });

  test("requirement 26: some projects inherit while others use credentials of their own", async () => {
    await inherit(true);
    await set({ projectId: otherProjectId }, "openai");
    expect(await levels()).toEqual(["organization", "organization"]);
    expect(await levels(otherProjectId)).toEqual(["project", undefined]);
    await inherit(true, undefined, otherProjectId);
    expect(await levels(otherProjectId)).toEqual(["project", "organization"]);
  });

  test("of one provider decides over its class, and taken away the class decides again", async () => {
    await inherit(true, "openai");
    expect(await levels()).toEqual(["organization", undefined]);
    await inherit(true);
    await inherit(false, "openai");
    expect(await levels()).toEqual([undefined, "organization"]);
    expect(await listInheritance(as(), projectId)).toEqual([
      { class: "model", integration: "", inherits: true, tampered: false },
      { class: "model", integration: "openai", inherits: false, tampered: false },
    ]);
    await inherit(undefined, "openai");
    expect(await levels()).toEqual(["organization", "organization"]);
    await inherit(undefined);
    expect(await levels()).toEqual([undefined, undefined]);
  });

  test.each<[string, string | undefined, string, RegExp]>([
    ["integration", undefined, "ERR_INHERITANCE_FIXED", /every project inherits what its organization has/],
    ["integration", "github", "ERR_INHERITANCE_FIXED", /every project inherits/],
    ["model", "github", "ERR_INHERITANCE_FIXED", /of another class/],
    ["integration", "openai", "ERR_INHERITANCE_FIXED", /every project inherits/],
    ["__proto__", undefined, "ERR_INHERITANCE_FIXED", /no such class/],
    ["model", "hunter2", "ERR_INTEGRATION_UNKNOWN", /this id of 7 characters/],
  ])("cannot be switched where there is no choice: %s %s", async (givenClass, integration, code, why) => {
    const request = { projectId, class: givenClass as IntegrationClass, integration, inherits: true };
    await expect(switchInheritance(as(), request)).rejects.toMatchObject({ code, message: expect.stringMatching(why) });
    expect(await listInheritance(as(), projectId)).toEqual([]);
  });

  test("is switched by those who manage the project's credentials, and each time leaves an event", async () => {
    const { database } = temporary;
    for (const role of ["editor", "viewer"] as const) {
      await setOrganizationMember(database, { organizationId, personId: "owner", name: "Owner", role: "owner" });
      await setOrganizationMember(database, { organizationId, personId: role, name: role, role: "member" });
      await setProjectMember(database, { projectId, personId: role, role });
    }
    const request = { projectId, class: "model", inherits: true } as const;
    await expect(switchInheritance(as("viewer"), request)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    await switchInheritance(as("editor"), { ...request, integration: "openai" });
    const [event, denial] = await listAudit(database, { organizationId, projectId, limit: 2 });
    expect(event).toMatchObject({ event: "inheritance.switch", actor: { id: "editor" }, details: { inherits: true } });
    expect(event?.target).toEqual([{ type: "inheritance", name: "openai" }]);
    expect(denial).toMatchObject({ event: "inheritance.switch", outcome: "denied", actor: { id: "viewer" } });
    await setEditorsManage(as(), { organizationId, allowed: false });
    await expect(switchInheritance(as("editor"), request)).rejects.toMatchObject({ code: "ERR_FORBIDDEN" });
    for (const id of [projectId, createId()]) {
      const unknown = { code: "ERR_PROJECT_UNKNOWN", message: `Cannot find the project ${id}: no such id` };
      await expect(switchInheritance(as("stranger"), { ...request, projectId: id })).rejects.toMatchObject(unknown);
      await expect(listInheritance(as("stranger"), id)).rejects.toMatchObject(unknown);
    }
  });
});
