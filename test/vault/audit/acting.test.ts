/**
 * Acting on a vault, on real keys: what somebody does is in the audit log of their organization, which is whole before and
 * after the root key was changed, and only for those who may read it.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Actor } from "../../../vault/tenancy/actor.ts";
import { setOrganizationMember } from "../../../vault/tenancy/members.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject } from "../../helpers/vault.ts";

const ann: Actor = { kind: "person", id: "ann" };
let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;
const masterKeyNext = randomBytes(32).toString("base64");

const change = async (actor: Actor): Promise<void> =>
  void (await vault.as(actor).tenancy.setProjectNetwork({ projectId, network: "none" }));

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  await setOrganizationMember(temporary.database, { organizationId, personId: "ann", name: "Ann", role: "owner" });
});
afterAll(async () => {
  vault.close();
  // The root key was changed to this one.
  await temporary.dispose({ keys: { masterKeyNext } });
});

test("the log tells who did what, to those who may read it", async () => {
  await change(ann);
  const events = await vault.as(ann).audit.list({ organizationId, limit: 1 });
  expect(events).toMatchObject([{ event: "project.network.set", actor: { kind: "person", id: "ann" } }]);
  const stranger: Actor = { kind: "person", id: "eve" };
  await expect(vault.as(stranger).audit.list({ organizationId, limit: 1 })).rejects.toMatchObject({
    code: "ERR_ORGANIZATION_UNKNOWN",
  });
  await expect(vault.as(stranger).audit.head({ organizationId })).rejects.toMatchObject({
    code: "ERR_ORGANIZATION_UNKNOWN",
  });
  await expect(vault.as(stranger).audit.verify({ organizationId })).rejects.toMatchObject({
    code: "ERR_ORGANIZATION_UNKNOWN",
  });
});

test("the log and a kept head stay whole while the root key is changed", async () => {
  await change(ann);
  const kept = await vault.audit.head({ organizationId });
  const next = { ...temporary.config, masterKeyNext };
  const rotating = await openVault(temporary.database, next);
  await rotating.stageRootKey();
  await rotating.promoteRootKey();
  await rotating.rewrapKeys({ batch: 10 });
  vault.close();
  vault = rotating;
  await change(ann);
  expect(await vault.audit.verify({ organizationId, kept })).toEqual({ events: kept.seq + 1 });
});
