/**
 * Acting on a vault, on real keys: what somebody does is in the audit log of their organization, which is whole before and
 * after the root key was changed, and only for those who may read it.
 */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Actor, operator } from "../../vault/actor.ts";
import { setOrganizationMember } from "../../vault/members.ts";
import { perform } from "../../vault/perform.ts";
import { openVault, type Vault } from "../../vault/vault.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";

const ann: Actor = { kind: "person", id: "ann" };
let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;

const rename = async (actor: Actor): Promise<void> =>
  await perform(
    vault.as(actor),
    { action: "project.manage", place: { projectId }, event: "project.renamed" },
    async () => ({ result: undefined }),
  );

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  organizationId = (await vault.createOrganization("Acme")).id;
  projectId = (await vault.createProject(organizationId, "Support")).id;
  await setOrganizationMember(temporary.database, { organizationId, personId: "ann", name: "Ann", role: "owner" });
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

test("the log tells who did what, to those who may read it", async () => {
  await rename(ann);
  const events = await vault.listAudit(ann, { organizationId, limit: 10 });
  expect(events).toMatchObject([{ event: "project.renamed", actor: { kind: "person", id: "ann" } }]);
  const stranger: Actor = { kind: "person", id: "eve" };
  await expect(vault.listAudit(stranger, { organizationId, limit: 1 })).rejects.toMatchObject({
    code: "ERR_ORGANIZATION_UNKNOWN",
  });
  await expect(vault.auditHead(stranger, organizationId)).rejects.toMatchObject({ code: "ERR_ORGANIZATION_UNKNOWN" });
  await expect(vault.verifyAudit(stranger, organizationId)).rejects.toMatchObject({ code: "ERR_ORGANIZATION_UNKNOWN" });
});

test("the log and a kept head stay whole while the root key is changed", async () => {
  await rename(ann);
  const kept = await vault.auditHead(operator, organizationId);
  const next = { ...temporary.config, masterKeyNext: randomBytes(32).toString("base64") };
  const rotating = await openVault(temporary.database, next);
  await rotating.stageRootKey();
  await rotating.promoteRootKey();
  await rotating.rewrapKeys({ batch: 10 });
  vault.close();
  vault = rotating;
  await rename(ann);
  expect(await vault.verifyAudit(operator, organizationId, kept)).toEqual({ events: kept.seq + 1 });
});
