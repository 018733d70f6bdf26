// An orchestrator that adds a run to the queue by itself, over Redis, and waits for its result.
// node submit-redis.ts redis://127.0.0.1:6379 stepvault-us PROJECT_ID
import { Queue, QueueEvents } from "bullmq";
import { Redis } from "ioredis";

const [redisUrl = "", queueName = "", projectId = ""] = process.argv.slice(2);
const client = new Redis(redisUrl, { maxRetriesPerRequest: null });
const blockingClient = client.duplicate();
const queue = new Queue(queueName, { connection: client });
const events = new QueueEvents(queueName, { connection: blockingClient });
await events.waitUntilReady();

const runId = crypto.randomUUID();
const payload = {
  projectId,
  runId,
  step: {
    language: "javascript",
    code: 'console.log("looking up", params.city); return { city: params.city, key: "<<secrets.api_key>>" };',
    limits: { wallTimeMsMax: 10_000 },
    network: ["api.example.com"],
  },
  params: { city: "Bern" },
  labels: { agentId: "agent-7" },
};
// The run id as the job id: adding the same run twice adds it once.
const job = await queue.add("step", payload, {
  jobId: runId,
  removeOnComplete: { age: 3_600 },
  removeOnFail: { age: 3_600 },
});
const result: unknown = await job.waitUntilFinished(events, 60_000);
process.stdout.write(`${JSON.stringify(result)}\n`);

await events.close();
await queue.close();
client.disconnect();
blockingClient.disconnect();
