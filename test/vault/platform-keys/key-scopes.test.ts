/**
 * Which scopes somebody may give to a key. Goal: a key never lets its maker do what their role does not; whoever may change
 * a project's keys is no project admin for that. Method: people of each role that may change keys, keys of each scope, and
 * the table of roles asked for what each then may.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Action, actions, type KeyScope, keyScopes } from "../../../protocol/roles.ts";
import { listAudit } from "../../../vault/audit/audit.ts";
import { changeKey, createOrganizationKey, createProjectKey, rotateKey } from "../../../vault/platform-keys/keys.ts";
import { authorize } from "../../../vault/tenancy/authorize.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { codeOf, failureOf, issuer, now, openWorld, type World } from "./keys-world.ts";

let world: World;
let projectId: string;
let organizationId: string;
beforeAll(async () => {
  world = await openWorld();
  ({ projectId, organizationId } = world);
  const personId = "project admin";
  await setOrganizationMember(world.database, { organizationId, personId, name: personId, role: "member" });
  await setProjectMember(world.database, { projectId, personId, role: "admin" });
});
afterAll(async () => await world.dispose());

const wanted = { name: "CI", expiry: "none", issuer, now } as const;
const make = async (who: string, scopes: readonly KeyScope[]): Promise<string> =>
  (await createProjectKey(world.as(who), { projectId, scopes, ...wanted })).metadata.id;
const rotation = { expiry: "none", graceDays: 0, issuer, now } as const;

describe.each(["owner", "admin", "project admin", "editor"])("a project's key that %s makes", (who) => {
  test.each(keyScopes)("may with the scope %s do nothing that its maker may not", async (scope) => {
    const answer = await codeOf(make(who, [scope]));
    expect(answer).toBe(who === "editor" && scope === "admin" ? "ERR_FORBIDDEN" : "ok");
    const allowed = (Object.keys(actions) as Action[]).filter((action) =>
      (actions[action].scopes as readonly KeyScope[]).includes(scope),
    );
    // What is done in the organization is nothing that a project's key can do.
    const inProject = allowed.filter((action) => !/^(organization\.|project\.create|audit\.)/.test(action));
    const own = await Promise.all(
      inProject.map(
        async (action) => await codeOf(authorize(world.database, world.as(who).actor, action, { projectId })),
      ),
    );
    expect(own.every((code) => code === "ok")).toBe(answer === "ok");
  });
});

describe("an editor", () => {
  test("is told which scope, what it would allow and who may give it, and the denial is in the audit log", async () => {
    const failure = await failureOf(make("editor", ["trigger", "admin"]));
    expect(failure).toMatchObject({
      code: "ERR_FORBIDDEN",
      message: expect.stringMatching(
        /^Cannot give a key the scope admin: Cannot change the project: your role is editor; it takes owner, organization admin, project admin/,
      ) as string,
    });
    const [event] = await listAudit(world.database, { organizationId, projectId, limit: 1 });
    expect(event).toMatchObject({ event: "key.created", outcome: "denied", reason: "ERR_FORBIDDEN" });
  });

  test("neither gives a key the scope admin later, nor gets a successor of one that has it", async () => {
    const [place, context] = [{ projectId }, world.as("editor")];
    const mine = await make("editor", ["trigger"]);
    const theirs = await make("admin", ["trigger", "admin"]);
    const tries = [
      changeKey(context, { place, keyId: mine, scopes: ["trigger", "admin"] }),
      rotateKey(context, { place, keyId: theirs, ...rotation }),
    ];
    expect(await Promise.all(tries.map(codeOf))).toEqual(["ERR_FORBIDDEN", "ERR_FORBIDDEN"]);
    const { rows } = await world.database.query("select id, scopes, rotated_to from platform_keys where id = any($1)", [
      [mine, theirs],
    ]);
    expect(rows).toEqual(
      expect.arrayContaining([
        { id: mine, scopes: ["trigger"], rotated_to: null },
        { id: theirs, scopes: ["trigger", "admin"], rotated_to: null },
      ]),
    );
    // Naming it and taking scopes away gives nobody anything.
    await expect(changeKey(context, { place, keyId: theirs, name: "Theirs" })).resolves.toMatchObject({
      scopes: ["trigger", "admin"],
    });
    await expect(changeKey(context, { place, keyId: theirs, scopes: ["trigger"] })).resolves.toMatchObject({
      scopes: ["trigger"],
    });
    expect(await codeOf(rotateKey(context, { place, keyId: theirs, ...rotation }))).toBe("ok");
  });
});

test("an organization's key has any scope of whoever may change the organization's keys", async () => {
  for (const who of ["owner", "admin"]) {
    const made = createOrganizationKey(world.as(who), { organizationId, access: "all", scopes: keyScopes, ...wanted });
    const { metadata } = await made;
    const place = { organizationId };
    const change = { place, keyId: metadata.id, scopes: keyScopes };
    expect(await codeOf(changeKey(world.as(who), change))).toBe("ok");
    expect(await codeOf(rotateKey(world.as(who), { place, keyId: metadata.id, ...rotation }))).toBe("ok");
  }
});
