/**
 * Requirements of platform keys that no test of a part is titled with, through the vault as a server would use it: a key is
 * presented, and what it may do is asked as whoever it stands for.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Action } from "../../../protocol/roles.ts";
import { keyScopes } from "../../../protocol/roles.ts";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, setSecret } from "../../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;
let otherId: string;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  otherId = (await createProject(vault, organizationId, "Sales")).id;
  for (const project of [projectId, otherId]) await setSecret(vault, project, "KEY", "a value of the project");
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

/** The vault of whoever a presented key stands for. */
async function presented(key: string): Promise<Vault> {
  return vault.as((await vault.keys.check({ key })).actor);
}

async function may(key: string, action: Action, place: Place): Promise<string> {
  return await (await presented(key)).authorize(action, place).then(
    () => "yes",
    (error: Error & { code: string }) => error.code,
  );
}

test("requirement 28: an API key with every scope works in all of one project, from a server and not from a browser", async () => {
  const wanted = { projectId, name: "Server", scopes: [...keyScopes], expiry: "none" } as const;
  const { key } = await vault.keys.createForProject(wanted);
  expect(key).toMatch(/^sk-us_[0-9A-Za-z]{49}$/);
  const own = await presented(key);
  const place = { projectId };
  expect(await own.secrets.list({ place })).toMatchObject([{ name: "KEY" }]);
  await own.secrets.set({ place, name: "MADE_BY_KEY", value: "set through the key" });
  for (const action of ["run.trigger", "run.read", "step.write", "secret.reference", "project.read"] as const)
    expect([action, await may(key, action, place)]).toEqual([action, "yes"]);
  const browser = { origin: "https://shop.example.com" };
  await expect(vault.keys.check({ key, browser })).rejects.toMatchObject({ code: "ERR_KEY_BROWSER" });
});

test("requirement 39: a project's key lets a program outside authenticate and start runs", async () => {
  const { key } = await vault.keys.createForProject({ projectId, name: "CI", scopes: ["trigger"], expiry: "none" });
  expect(await may(key, "run.trigger", { projectId })).toBe("yes");
  expect(await may(key, "secret.write", { projectId })).toBe("ERR_FORBIDDEN");
  await expect(vault.keys.check({ key: `${key.slice(0, -1)}_` })).rejects.toMatchObject({ code: "ERR_KEY_MALFORMED" });
});

test("requirement 41: a project's key is worth nothing in another project, nor in the organization", async () => {
  const wanted = { projectId, name: "Everything", scopes: [...keyScopes], expiry: "none" } as const;
  const { key } = await vault.keys.createForProject(wanted);
  expect(await may(key, "run.trigger", { projectId: otherId })).toBe("ERR_PROJECT_UNKNOWN");
  await expect((await presented(key)).secrets.list({ place: { projectId: otherId } })).rejects.toMatchObject({
    code: "ERR_PROJECT_UNKNOWN",
  });
  expect(await may(key, "organization.secrets.list", { organizationId })).toBe("ERR_ORGANIZATION_UNKNOWN");
});

test("requirement 50: the project's own keys and those that it inherits both work from outside", async () => {
  const trigger = { scopes: ["trigger"], expiry: "none" } as const;
  const own = await vault.keys.createForProject({ projectId, name: "Own", ...trigger });
  const all = await vault.keys.createForOrganization({ organizationId, name: "All", access: "all", ...trigger });
  const selected = { organizationId, name: "Selected", access: [projectId], ...trigger };
  const some = await vault.keys.createForOrganization(selected);
  for (const { key } of [own, all, some]) expect(await may(key, "run.trigger", { projectId })).toBe("yes");
  expect(await may(all.key, "run.trigger", { projectId: otherId })).toBe("yes");
  for (const { key } of [own, some])
    expect(await may(key, "run.trigger", { projectId: otherId })).toBe("ERR_PROJECT_UNKNOWN");
});
