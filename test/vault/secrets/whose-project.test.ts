/**
 * Whose a project is, is proven by its key: a row that somebody with the database inserts into an organization, moves there or
 * robs of everything gets nothing of what the organization has for all. Real PostgreSQL; attacks are SQL statements.
 */
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, resolveSecrets, setSecret } from "../../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});
beforeEach(async () => {
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  await vault.secrets.set({ place: { organizationId }, name: "SHARED", value: "for all of Acme", access: "all" });
  const fields = { api_key: "a-key-for-all-of-Acme" };
  await vault.credentials.set({ place: { organizationId }, integration: "serpapi", fields });
});

async function expectNothing(project: string): Promise<void> {
  const tampered = { code: "ERR_SECRET_TAMPERED" };
  await expect(resolveSecrets(vault, project, [{ name: "SHARED" }])).rejects.toMatchObject(tampered);
  await expect(vault.credentials.resolve({ projectId: project, integration: "serpapi" })).rejects.toMatchObject(
    tampered,
  );
}

test("a project that the vault made has what is for all from the start", async () => {
  expect((await resolveSecrets(vault, projectId, [{ name: "SHARED" }]))[0]?.expose()).toBe("for all of Acme");
  const { secret } = await vault.credentials.resolve({ projectId, integration: "serpapi" });
  expect(secret.get("api_key")?.expose()).toBe("a-key-for-all-of-Acme");
});

test("a row that was inserted gets nothing, and says why", async () => {
  const id = createId();
  await temporary.database.query("insert into projects (id, organization_id, name) values ($1, $2, 'Theirs')", [
    id,
    organizationId,
  ]);
  await expectNothing(id);
  const { winner, candidates } = await vault.secrets.explain({ projectId: id, name: "SHARED" });
  expect(winner).toBeUndefined();
  expect(candidates).toMatchObject([
    { level: "project", state: "absent" },
    { level: "organization", state: "changed past Stepvault", why: expect.stringContaining("it has no key") },
  ]);
  expect(await vault.secrets.list({ place: { projectId: id } })).toMatchObject([{ name: "SHARED", tampered: true }]);
});

test("a project that was moved there gets nothing, with its key or without", async () => {
  const other = await createOrganization(vault, "Globex");
  const { id } = await createProject(vault, other.id, "Theirs");
  await temporary.database.query("update projects set organization_id = $2 where id = $1", [id, organizationId]);
  await expectNothing(id);
  await temporary.database.query(
    "update data_keys set organization_key_id = (select id from organization_keys where organization_id = $2) where project_id = $1",
    [id, organizationId],
  );
  await expectNothing(id);
  await temporary.database.query("delete from secret_manifests where project_id = $1", [id]);
  await temporary.database.query("delete from data_keys where project_id = $1", [id]);
  await expectNothing(id);
});

test("a project whose secrets, manifest and key are all gone does not fall back to the organization's", async () => {
  await setSecret(vault, projectId, "SHARED", "its own value");
  await temporary.database.query("delete from secrets where project_id = $1", [projectId]);
  await temporary.database.query("delete from secret_manifests where project_id = $1", [projectId]);
  await temporary.database.query("delete from data_keys where project_id = $1", [projectId]);
  await expectNothing(projectId);
});
