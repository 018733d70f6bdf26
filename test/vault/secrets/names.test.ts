/**
 * Ids decide, never names: a project or an organization that is called like another gets nothing of it, as in tools that
 * match environments by name. Real PostgreSQL, through the vault.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, resolveSecrets, setSecret } from "../../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

test("a project with the name of one that a secret is granted to does not get it, in its organization or in another", async () => {
  const [acme, alike] = [await createOrganization(vault, "Acme"), await createOrganization(vault, "Acme")];
  const granted = await createProject(vault, acme.id, "production");
  const others = [
    await createProject(vault, acme.id, "production"),
    await createProject(vault, alike.id, "production"),
  ];
  const shared = { place: { organizationId: acme.id }, name: "KEY" };
  await vault.secrets.set({ ...shared, value: "for one project", access: [granted.id] });
  expect((await resolveSecrets(vault, granted.id, [{ name: "KEY" }]))[0]?.expose()).toBe("for one project");
  const codes = await Promise.all(
    others.map(
      async ({ id }) =>
        await resolveSecrets(vault, id, [{ name: "KEY" }]).catch((error: { code: string }) => error.code),
    ),
  );
  expect(codes).toEqual(["ERR_SECRET_NOT_GRANTED", "ERR_SECRET_UNKNOWN"]);
});

test("a name where an id belongs is nothing, also one of a place that is there", async () => {
  const { id: organizationId } = await createOrganization(vault, "Globex");
  const { id } = await createProject(vault, organizationId, "production");
  await setSecret(vault, id, "KEY", "a value of it");
  const named = { place: { projectId: "production" }, name: "KEY" };
  await expect(vault.secrets.set({ ...named, value: "another value" })).rejects.toMatchObject({
    code: "ERR_PROJECT_UNKNOWN",
  });
  await expect(vault.secrets.list({ place: { organizationId: "Globex" } })).rejects.toMatchObject({
    code: "ERR_ORGANIZATION_UNKNOWN",
  });
  const granted = { place: { organizationId }, name: "SHARED", value: "a shared value", access: ["production"] };
  await expect(vault.secrets.set(granted)).rejects.toMatchObject({ code: "ERR_PROJECT_UNKNOWN" });
});
