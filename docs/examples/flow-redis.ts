// A flow of BullMQ: two runs at once, and one that finds their outputs in `steps` by their names.
// node flow-redis.ts redis://127.0.0.1:6379 stepvault-us PROJECT_ID
import { FlowProducer, QueueEvents } from "bullmq";
import { Redis } from "ioredis";

const [redisUrl = "", queueName = "", projectId = ""] = process.argv.slice(2);
const client = new Redis(redisUrl, { maxRetriesPerRequest: null });
const blockingClient = client.duplicate();
const flows = new FlowProducer({ connection: client });
const events = new QueueEvents(queueName, { connection: blockingClient });
await events.waitUntilReady();

const opts = { removeOnComplete: { age: 3_600 }, removeOnFail: { age: 3_600 } };
const javascript = (code: string): object => ({ language: "javascript", code, network: "none" });
const { job } = await flows.add({
  name: "step",
  queueName,
  opts,
  data: { projectId, step: javascript("return steps.weather.celsius + steps.forecast.rise") },
  children: [
    {
      name: "step",
      queueName,
      opts,
      data: { projectId, name: "weather", step: javascript("return { celsius: 20 }") },
    },
    {
      name: "step",
      queueName,
      opts,
      data: { projectId, name: "forecast", step: javascript("return { rise: params.days }"), params: { days: 3 } },
    },
  ],
});
const result: unknown = await job.waitUntilFinished(events, 60_000);
process.stdout.write(`${JSON.stringify(result)}\n`);

await events.close();
await flows.close();
client.disconnect();
blockingClient.disconnect();
