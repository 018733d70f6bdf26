/**
 * Goal: every buffer that something was decrypted into holds zeros by the time its caller has an answer: values, documents of
 * credentials and the keys of every layer, also when what was decrypted is refused. Method: what Node's deciphers give out
 * is noted on its way, and looked at afterwards.
 */
import { createCipheriv, createDecipheriv } from "node:crypto";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { createId } from "../../../protocol/ids.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";
import { createOrganization, createProject, setSecret } from "../../helpers/vault.ts";

let temporary: Temporary;
let vault: Vault;
let projectId: string;
let organizationId: string;
const decrypted: Buffer[] = [];

/** The class is not exported. */
const decipher = Object.getPrototypeOf(createDecipheriv("aes-256-gcm", Buffer.alloc(32), Buffer.alloc(12))) as {
  update: (data: Buffer) => Buffer;
};

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  organizationId = (await createOrganization(vault, "Acme")).id;
  projectId = (await createProject(vault, organizationId, "Support")).id;
  await setSecret(vault, projectId, "KEY", "an-0lder-value-Vb7Nm");
  await setSecret(vault, projectId, "KEY", "a-value-to-be-z3roed");
  await vault.secrets.set({ place: { organizationId }, name: "SHARED", value: "sh4red-to-be-zeroed", access: "all" });
  for (const place of [{ projectId }, { organizationId }])
    await vault.credentials.set({ place, integration: "openai", fields: { api_key: "sk-cr3dential-Zx9Cv8" } });
  const { update } = decipher;
  vi.spyOn(decipher, "update").mockImplementation(function (this: unknown, data: Buffer): Buffer {
    const plaintext = update.call(this, data);
    decrypted.push(plaintext);
    return plaintext;
  });
});

afterEach(() => decrypted.splice(0));
afterAll(async () => {
  vi.restoreAllMocks();
  vault.close();
  await temporary.dispose();
});

const place = (): { projectId: string } => ({ projectId });

test.each<[string, () => Promise<unknown>]>([
  ["setting a secret", async () => await setSecret(vault, projectId, "NEW", "another-value-Qw3Er")],
  [
    "changing a policy",
    async () => await vault.secrets.setPolicy({ place: place(), name: "NEW", policy: { sealed: false } }),
  ],
  [
    "a run's use of secrets",
    async () =>
      await vault.secrets.use({ projectId, references: [{ name: "KEY" }, { name: "SHARED" }], runId: createId() }),
  ],
  ["showing a value", async () => await vault.secrets.reveal({ place: place(), name: "KEY", version: 1 })],
  ["an export", async () => await vault.secrets.export({ place: place(), format: "env" })],
  [
    "an import",
    async () =>
      await vault.secrets.import({ place: place(), text: "KEY=new-value-Ty6Ui\n", format: "env", overwrite: true }),
  ],
  ["going back to a version", async () => await vault.secrets.rollback({ place: place(), name: "KEY", toVersion: 1 })],
  ["destroying a version", async () => await vault.secrets.destroy({ place: place(), name: "KEY", versions: [2] })],
  ["looking for a leak", async () => await vault.leaks.find({ organizationId, text: "found sh4red-to-be-zeroed" })],
  [
    "setting a credential",
    async () =>
      await vault.credentials.set({ place: place(), integration: "openai", fields: { api_key: "sk-0ther-Po0Iu9" } }),
  ],
  ["using a credential", async () => await vault.credentials.resolve({ projectId, integration: "openai" })],
  ["reading the audit log", async () => await vault.audit.verify({ organizationId })],
])("%s leaves zeros of all that was decrypted", async (_, work) => {
  await work();
  expect(decrypted.length).toBeGreaterThan(0);
  expect(decrypted.filter((bytes) => bytes.some((byte) => byte !== 0)).length).toBe(0);
});

test("so does a value that was changed in its row and is refused", async () => {
  const { database } = temporary;
  await database.query(
    `update secret_versions set ciphertext = set_byte(ciphertext, 15, get_byte(ciphertext, 15) # 1)
     where destroyed_at is null`,
  );
  const shown = vault.secrets.reveal({ place: { organizationId }, name: "SHARED" });
  await expect(shown).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  const refused = vault.secrets.use({ projectId, references: [{ name: "KEY" }], runId: createId() });
  await expect(refused).rejects.toMatchObject({ code: "ERR_SECRET_TAMPERED" });
  expect(decrypted.length).toBeGreaterThan(0);
  expect(decrypted.filter((bytes) => bytes.some((byte) => byte !== 0)).length).toBe(0);
});

test("what a decipher gives is seen before anybody zeroes it", () => {
  const [key, nonce] = [Buffer.alloc(32, 1), Buffer.alloc(12)];
  const sealed = createCipheriv("aes-256-gcm", key, nonce).update("plain text");
  createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: 16 }).update(sealed);
  expect(decrypted.map(String)).toEqual(["plain text"]);
});
