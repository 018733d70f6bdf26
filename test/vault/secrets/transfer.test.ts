/**
 * Importing and exporting many secrets: what a preview says is what an import does, an import adds and destroys nothing that
 * was not asked for, and an export has what a person may see. Real PostgreSQL, through the vault.
 */
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Place } from "../../../vault/tenancy/authorize.ts";
import { setOrganizationMember, setProjectMember } from "../../../vault/tenancy/members.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, deleteSecret, resolveSecrets, setSecret } from "../../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;
let organizationId: string;
let projectId: string;
let place: Place;

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
});
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});
beforeEach(async () => {
  projectId = (await createProject(vault, organizationId, "Support")).id;
  place = { projectId };
});

async function valueOf(name: string): Promise<string> {
  const [value] = await resolveSecrets(vault, projectId, [{ name }]);
  return value!.expose();
}

const actionsOf = ({ changes }: { changes: readonly { name: string; action: string }[] }): Record<string, string> =>
  Object.fromEntries(changes.map(({ name, action }) => [name, action]));

describe("an import", () => {
  test("does what its preview says, and the preview changes nothing", async () => {
    await setSecret(vault, projectId, "SAME", "same value");
    await setSecret(vault, projectId, "OTHER", "old value");
    await setSecret(vault, projectId, "GONE", "deleted value");
    await setSecret(vault, projectId, "ABSENT", "stays here");
    await deleteSecret(vault, projectId, "GONE");
    const text = "SAME='same value'\nOTHER='new value'\nGONE='back again'\nNEW='brand new'\n";
    const request = { place, text, overwrite: true, prune: true };
    const before = await vault.secrets.list({ place });
    const preview = await vault.secrets.previewImport(request);
    expect(actionsOf(preview)).toEqual({
      SAME: "same",
      OTHER: "update",
      GONE: "restore",
      NEW: "create",
      ABSENT: "delete",
    });
    expect(await vault.secrets.list({ place })).toEqual(before);
    const done = await vault.secrets.import({ ...request, ifToken: preview.token });
    expect(done.changes).toEqual(preview.changes);
    expect(await Promise.all(["SAME", "OTHER", "GONE", "NEW"].map(valueOf))).toEqual([
      "same value",
      "new value",
      "back again",
      "brand new",
    ]);
    await expect(valueOf("ABSENT")).rejects.toMatchObject({ code: "ERR_SECRET_DELETED" });
    await vault.secrets.restore({ place, name: "ABSENT" });
    expect(await valueOf("ABSENT")).toBe("stays here");
    expect(actionsOf(await vault.secrets.previewImport({ place, text }))).toMatchObject({ SAME: "same", NEW: "same" });
  });

  test("keeps what differs and what the text does not have, unless that is asked for", async () => {
    await setSecret(vault, projectId, "OTHER", "old value");
    await setSecret(vault, projectId, "ABSENT", "stays here");
    const done = await vault.secrets.import({ place, text: "OTHER='new value'\nNEW='brand new'" });
    expect(actionsOf(done)).toEqual({ OTHER: "keep", NEW: "create" });
    expect(await Promise.all(["OTHER", "ABSENT", "NEW"].map(valueOf))).toEqual([
      "old value",
      "stays here",
      "brand new",
    ]);
  });

  test("is whole or not at all, and tells all that is wrong with the text at once", async () => {
    // The second is too short to be sealed, which only storing it tells.
    await setSecret(vault, projectId, "B_SEALED", "a long enough value", { sealed: true, hosts: ["api.example.com"] });
    const text = "A_NEW='brand new'\nB_SEALED='short'";
    await expect(vault.secrets.import({ place, text, overwrite: true })).rejects.toMatchObject({
      code: "ERR_SECRET_VALUE_INVALID",
    });
    await expect(valueOf("A_NEW")).rejects.toMatchObject({ code: "ERR_SECRET_UNKNOWN" });
    const wrong = await vault.secrets
      .import({ place, text: "1A='hunter2-hunter2'\nEMPTY=\nA='x y'\nA='hunter2-again'" })
      .catch((error: Error & { code: string }) => error);
    expect(wrong).toMatchObject({ code: "ERR_SECRETS_TEXT_INVALID" });
    expect((wrong as Error).message).toMatch(/line 1.*line 2.*line 4/s);
    expect((wrong as Error).message).not.toContain("hunter2");
  });

  test("with a preview's token goes ahead only while text and secrets are those of the preview", async () => {
    const text = "NEW='brand new'";
    const { token } = await vault.secrets.previewImport({ place, text });
    const conflict = { code: "ERR_SECRET_VERSION_CONFLICT" };
    await expect(vault.secrets.import({ place, text: `${text}\n`, ifToken: token })).rejects.toMatchObject(conflict);
    await expect(vault.secrets.import({ place, text, prune: true, ifToken: token })).rejects.toMatchObject(conflict);
    await setSecret(vault, projectId, "BETWEEN", "by somebody else");
    await expect(vault.secrets.import({ place, text, ifToken: token })).rejects.toMatchObject(conflict);
    await expect(valueOf("NEW")).rejects.toMatchObject({ code: "ERR_SECRET_UNKNOWN" });
    const again = await vault.secrets.previewImport({ place, text });
    await vault.secrets.import({ place, text, ifToken: again.token });
    expect(await valueOf("NEW")).toBe("brand new");
  });

  test("takes policies, descriptions and tags of JSON, and leaves those that it does not say", async () => {
    const json = {
      KEY: {
        value: "a sealed value",
        sealed: true,
        hosts: ["api.example.com"],
        description: "of the shop",
        tags: ["shop"],
      },
    };
    await vault.secrets.import({ place, text: JSON.stringify(json) });
    await vault.secrets.import({ place, text: "KEY='another value'", overwrite: true });
    expect(await vault.secrets.list({ place })).toMatchObject([
      { name: "KEY", version: 2, description: "of the shop", tags: ["shop"], policy: { sealed: true } },
    ]);
    const { changes } = await vault.secrets.previewImport({
      place,
      text: JSON.stringify({ KEY: { ...json.KEY, value: "another value", hosts: ["evil.example.com"], tags: [] } }),
    });
    expect(changes).toEqual([{ name: "KEY", action: "keep", differs: ["policy", "tags"] }]);
  });

  test("is one event that names each secret and no value, and none when it fails", async () => {
    await vault.secrets.import({ place, text: "ONE='value number one'\nTWO='value number two'" });
    const [event] = await vault.audit.list({ organizationId, projectId, limit: 1 });
    expect(event).toMatchObject({
      event: "secret.import",
      target: [
        { type: "secret", name: "ONE", version: 1 },
        { type: "secret", name: "TWO", version: 1 },
      ],
      details: { created: 2, updated: 0, deleted: 0 },
    });
    expect(JSON.stringify(event)).not.toContain("value number");
    await vault.secrets.import({ place, text: "1=x" }).catch(() => {});
    expect((await vault.audit.list({ organizationId, projectId, limit: 1 }))[0]?.seq).toBe(event?.seq);
  });

  test("of two at once is one after the other", async () => {
    const imports = ["first", "second"].map(async (which) => {
      const text = Array.from({ length: 20 }, (_, index) => `NAME_${index}='value of the ${which}'`).join("\n");
      return await vault.secrets.import({ place, text, overwrite: true });
    });
    await Promise.all(imports);
    const values = await Promise.all(Array.from({ length: 20 }, async (_, index) => await valueOf(`NAME_${index}`)));
    expect(new Set(values).size).toBe(1);
    expect(await vault.secrets.verify(place)).toEqual({ changed: [], removed: [], unproven: false });
  });

  test("and single writers of the same new names do not wait for each other in a circle", async () => {
    for (let round = 0; round < 5; round += 1) {
      const names = Array.from({ length: 12 }, (_, index) => `ROUND_${round}_${index}`);
      const text = names.map((name) => `${name}='imported value'`).join("\n");
      const single = names.toReversed().map(async (name) => await setSecret(vault, projectId, name, "single value"));
      const all = await Promise.allSettled([vault.secrets.import({ place, text, overwrite: true }), ...single]);
      expect(all.filter(({ status }) => status === "rejected")).toEqual([]);
    }
  });

  test("of an organization's secrets grants them to nobody", async () => {
    await vault.secrets.import({ place: { organizationId }, text: "SHARED='value for some'" });
    await expect(valueOf("SHARED")).rejects.toMatchObject({ code: "ERR_SECRET_NOT_GRANTED" });
    await vault.secrets.destroy({ place: { organizationId }, name: "SHARED" });
  });
});

describe("an export", () => {
  test("of whatever values is imported again as it was, in both formats", async () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[A-Z_][A-Z0-9_]{0,8}$/), { minLength: 1, maxLength: 6 });
    const values = fc.string({ unit: "binary", minLength: 1, maxLength: 40 }).filter((text) => text.isWellFormed());
    await fc.assert(
      fc.asyncProperty(
        names,
        fc.infiniteStream(values),
        fc.constantFrom("env", "json"),
        async (keys, stream, format) => {
          const from = (await createProject(vault, organizationId, "From")).id;
          const expected = new Map(keys.map((name) => [name, stream.next().value]));
          for (const [name, value] of expected) await setSecret(vault, from, name, value);
          const { text, withheld } = await vault.secrets.export({ place: { projectId: from }, format });
          projectId = (await createProject(vault, organizationId, "To")).id;
          if (text !== "") await vault.secrets.import({ place: { projectId }, text, format });
          // A value that .env cannot hold is an error and not another value; see the text formats' own tests.
          expect(withheld).toEqual([]);
          for (const [name, value] of expected) expect((await valueOf(name)) === value).toBe(true);
        },
      ),
      { numRuns: 25 },
    );
  });

  test("names what it withholds: sealed, switched off, destroyed, and for .env what has a policy", async () => {
    const hosts = ["api.example.com"];
    await setSecret(vault, projectId, "READABLE", "a readable value");
    await setSecret(vault, projectId, "BOUND", "for one host", { hosts });
    await setSecret(vault, projectId, "SEALED", "a sealed value", { sealed: true, hosts });
    await setSecret(vault, projectId, "OFF", "switched off value");
    await vault.secrets.switch({ place, name: "OFF", enabled: false });
    await setSecret(vault, projectId, "DESTROYED", "destroyed value");
    await vault.secrets.destroy({ place, name: "DESTROYED", versions: [1] });
    await setSecret(vault, projectId, "DELETED", "deleted value");
    await deleteSecret(vault, projectId, "DELETED");
    const env = await vault.secrets.export({ place, format: "env" });
    expect(env.text.trim().split("\n")).toHaveLength(1);
    expect(env.withheld.map(({ name }) => name)).toEqual(["BOUND", "DESTROYED", "OFF", "SEALED"]);
    const json = await vault.secrets.export({ place, format: "json" });
    expect(JSON.parse(json.text)).toMatchObject({ BOUND: { value: "for one host", hosts } });
    expect(json.text).not.toMatch(/sealed value|switched off value|deleted value/);
  });

  test("is for people who may see values, and its event names each secret", async () => {
    await setSecret(vault, projectId, "KEY", "a value to export");
    const { database } = temporary;
    for (const personId of ["owner", "editor", "admin"]) {
      const role = personId === "owner" ? "owner" : "member";
      await setOrganizationMember(database, { organizationId, personId, name: personId, role });
    }
    await setProjectMember(database, { projectId, personId: "editor", role: "editor" });
    await setProjectMember(database, { projectId, personId: "admin", role: "admin" });
    const as = (id: string): Vault => vault.as({ kind: "person", id });
    await expect(as("editor").secrets.export({ place, format: "env" })).rejects.toMatchObject({
      code: "ERR_FORBIDDEN",
    });
    const { text } = await as("admin").secrets.export({ place, format: "env" });
    expect(text).toContain("a value to export");
    const [event] = await vault.audit.list({ organizationId, projectId, limit: 1 });
    expect(event).toMatchObject({
      event: "secret.export",
      class: "data-access",
      actor: { kind: "person", id: "admin" },
      target: [{ type: "secret", name: "KEY", version: 1 }],
    });
    expect(JSON.stringify(event)).not.toContain("a value to export");
  });
});
