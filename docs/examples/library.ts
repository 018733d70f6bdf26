// A whole Stepvault inside a program of one's own, from a clone: database, vault, queue and worker.
// node docs/examples/library.ts DATA_DIR
import { parseConfig } from "../../protocol/config.ts";
import { Service } from "../../worker/service.ts";

const [dataDir = ".stepvault"] = process.argv.slice(2);
const service = await Service.open(parseConfig({ STEPVAULT_DATA_DIR: dataDir, STEPVAULT_LOG_LEVEL: "warn" }));
try {
  await service.startWorker();
  const organization = await service.vault.tenancy.createOrganization("Acme");
  const project = await service.vault.tenancy.createProject({
    organizationId: organization.id,
    name: "Support agents",
  });
  const place = { projectId: project.id };
  await service.vault.secrets.set({ place, name: "api_key", value: "value-of-the-key" });

  const runId = await service.submit({
    projectId: project.id,
    step: { language: "python", code: 'print("key", <<secrets.api_key>>)\nreturn <<secrets.api_key>>' },
  });
  const result = await service.result(project.id, runId);
  for (const event of await service.store.listEvents(project.id, runId)) {
    process.stdout.write(`${JSON.stringify(event)}\n`);
  }
  process.stdout.write(`${JSON.stringify(result)}\n`);
} finally {
  await service.close();
}
