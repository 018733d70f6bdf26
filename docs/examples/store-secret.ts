// Makes an organization and a project, stores a secret read from stdin, and prints the project's id.
// STEPVAULT_DATA_DIR=.stepvault node docs/examples/store-secret.ts api_key < key.txt
import { text } from "node:stream/consumers";
import { openDatabase } from "../../database/connection.ts";
import { parseConfig } from "../../protocol/config.ts";
import { openVault } from "../../vault/vault.ts";

const [name = ""] = process.argv.slice(2);
const config = parseConfig(process.env);
const database = await openDatabase(config);
try {
  const vault = await openVault(database, config);
  const organization = await vault.tenancy.createOrganization("Acme");
  const project = await vault.tenancy.createProject({ organizationId: organization.id, name: "Support agents" });
  const value = (await text(process.stdin)).trimEnd();
  await vault.secrets.set({ place: { projectId: project.id }, name, value });
  process.stdout.write(`${project.id}\n`);
} finally {
  await database.close();
}
