// Submits a run with the client library and prints what happens in it, as it happens. The key comes through standard input.
// node docs/examples/stream-client.ts API_URL REGION PROJECT_ID < KEY_FILE
import { text } from "node:stream/consumers";
import { createClient, type Region } from "../../client/client.ts";

const [baseUrl = "http://127.0.0.1:8484", region = "us", project = ""] = process.argv.slice(2);
const apiKey = (await text(process.stdin)).trim();
const client = createClient({ apiKey, region: region as Region, project, baseUrl });

const stream = client.runs.stream({
  step: { language: "python", code: 'for i in range(3):\n  print("line", i)\nreturn params["city"]' },
  params: { city: "Bern" },
});
for await (const event of stream) {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}
const { status, output } = await stream.result();
process.stdout.write(`${JSON.stringify({ status, output })}\n`);
