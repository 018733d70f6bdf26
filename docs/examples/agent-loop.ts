// An agent loop: published steps are a model's tools; what it calls is run, and it reads the outputs, until it answers.
// The model here is a function that always decides the same, so that the example needs no network and no account.
// node agent-loop.ts http://127.0.0.1:8484 PROJECT_ID KEY_FILE "How warm is Bern in Fahrenheit?"
import { readFileSync } from "node:fs";
import { createClient, REGION_US } from "../../client/client.ts";

const [baseUrl = "", project = "", keyFile = "", question = ""] = process.argv.slice(2);
const client = createClient({ apiKey: readFileSync(keyFile, "utf8").trim(), region: REGION_US, project, baseUrl });
const turnsMax = 10;

interface Call {
  readonly tool: string;
  readonly params: Record<string, unknown>;
}

type Message =
  | { readonly from: "user" | "model"; readonly text: string }
  | { readonly from: "tool"; readonly tool: string; readonly output: unknown };

/** What a model does: it reads the conversation and the tools, and calls one of these or answers. */
function model(messages: readonly Message[], tools: readonly string[]): Call | string {
  const outputs = new Map(
    messages.flatMap((message) => (message.from === "tool" ? [[message.tool, message.output]] : [])),
  );
  const weather = outputs.get("Weather") as { celsius: number } | undefined;
  const fahrenheit = outputs.get("To Fahrenheit") as number | undefined;
  if (!tools.includes("Weather") || !tools.includes("To Fahrenheit")) return "I have no tools for that.";
  if (weather === undefined) return { tool: "Weather", params: { city: "Bern" } };
  if (fahrenheit === undefined) return { tool: "To Fahrenheit", params: { celsius: weather.celsius } };
  return `It is ${fahrenheit} °F.`;
}

const tools = new Map<string, { id: string; version: number }>();
for await (const { id, name, publishedVersion } of client.steps.list({ published: "true" })) {
  if (publishedVersion !== null) tools.set(name, { id, version: publishedVersion });
}

const messages: Message[] = [{ from: "user", text: question }];
for (let turn = 0; turn < turnsMax; turn += 1) {
  const decision = model(messages, [...tools.keys()]);
  if (typeof decision === "string") {
    messages.push({ from: "model", text: decision });
    break;
  }
  const step = tools.get(decision.tool);
  if (step === undefined) throw new Error(`the model calls ${decision.tool}, which is no tool`);
  // What a model writes goes into params, where no reference to a secret is resolved, and never into a step.
  const { output, error } = await client.runs.submitAndWait({ step, params: decision.params });
  messages.push({ from: "tool", tool: decision.tool, output: error === undefined ? output : { error: error.message } });
}
for (const message of messages) process.stdout.write(`${JSON.stringify(message)}\n`);
