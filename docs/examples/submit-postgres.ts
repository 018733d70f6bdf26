// The same over BullMQ's PostgreSQL backend, which Stepvault uses when STEPVAULT_REDIS_URL is not set.
// node submit-postgres.ts postgres://user:password@host/database stepvault-us PROJECT_ID
import { createPostgresBackend, type PgPool, withBackend } from "bullmq";
import { Pool } from "pg";

const [databaseUrl = "", queueName = "", projectId = ""] = process.argv.slice(2);
// Stepvault keeps BullMQ's tables in the schema `bullmq` of its own database.
const pool = new Pool({ connectionString: databaseUrl, options: "-c search_path=bullmq", keepAlive: true });
pool.on("error", () => {});
// BullMQ describes a pool by its own type, which pg's class does not name.
const connection = pool as unknown as PgPool;
const bullmq = withBackend(createPostgresBackend);
const queue = new bullmq.Queue(queueName, { connection });
const events = new bullmq.QueueEvents(queueName, { connection });
await events.waitUntilReady();

const runId = crypto.randomUUID();
const payload = {
  projectId,
  runId,
  step: {
    language: "python",
    code: 'print("looking up", params["city"])\nreturn {"city": params["city"], "key": "<<secrets.api_key>>"}',
    limits: { wallTimeMsMax: 10_000 },
    network: ["api.example.com"],
  },
  params: { city: "Bern" },
  labels: { agentId: "agent-7" },
};
const job = await queue.add("step", payload, {
  jobId: runId,
  removeOnComplete: { age: 3_600 },
  removeOnFail: { age: 3_600 },
});
// Events may be lost on this backend: a wait is short, and the next one looks at the job first.
let result: unknown;
for (const end = Date.now() + 60_000; result === undefined && Date.now() < end;) {
  result = await job.waitUntilFinished(events, 1_000).catch(async (error: unknown) => {
    if ((await job.getState()) === "failed") throw error;
  });
}
process.stdout.write(`${JSON.stringify(result)}\n`);

await events.close();
await queue.close();
await pool.end();
