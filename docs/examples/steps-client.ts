// Saves, checks and publishes a step with the client library, runs it, and lists the runs so far. The key comes through
// standard input; it needs the scopes `trigger` and `admin`.
// node docs/examples/steps-client.ts API_URL REGION PROJECT_ID < KEY_FILE
import { text } from "node:stream/consumers";
import { createClient, type Region } from "../../client/client.ts";

const [baseUrl = "http://127.0.0.1:8484", region = "us", project = ""] = process.argv.slice(2);
const apiKey = (await text(process.stdin)).trim();
const client = createClient({ apiKey, region: region as Region, project, baseUrl });

const step = { language: "javascript", code: "return params.words.map((word) => word.length)" } as const;
const { failures } = await client.steps.check(step);
if (failures.length > 0) throw new Error(failures.map(({ name, why }) => `${name}: ${why}`).join("\n"));

const { id } = await client.steps.create({ name: "Count letters", step, publish: true });
const { status, output } = await client.runs.submitAndWait({ step: { id }, params: { words: ["vault", "step"] } });
for await (const run of client.runs.list({ stepId: id, limit: 5 })) {
  process.stdout.write(`${run.createdAt} ${run.id} ${run.status}\n`);
}
process.stdout.write(`${JSON.stringify({ status, output })}\n`);
