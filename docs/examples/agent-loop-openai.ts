// The same loop with a real model behind the npm package `openai`, by its chat completions and their tool calls.
// node agent-loop-openai.ts http://127.0.0.1:8484 PROJECT_ID KEY_FILE MODEL_URL MODEL MODEL_KEY_FILE "How warm is Bern?"
import { readFileSync } from "node:fs";
import OpenAI from "openai";
import { createClient, REGION_US } from "../../client/client.ts";

const [baseUrl = "", project = "", keyFile = "", modelUrl = "", model = "", modelKeyFile = "", question = ""] =
  process.argv.slice(2);
const readKey = (file: string): string => readFileSync(file, "utf8").trim();
const client = createClient({ apiKey: readKey(keyFile), region: REGION_US, project, baseUrl });
const openai = new OpenAI({ apiKey: readKey(modelKeyFile), baseURL: modelUrl });
const turnsMax = 10;

const tools: OpenAI.ChatCompletionFunctionTool[] = [];
const steps = new Map<string, { id: string; version: number }>();
for await (const { id, publishedVersion } of client.steps.list({ published: "true" })) {
  if (publishedVersion === null) continue;
  const { name, description, paramsSchema } = await client.steps.version(id, publishedVersion);
  // A part of the id keeps two steps of one name apart.
  const tool = `${name.replaceAll(/[^a-zA-Z0-9_-]+/g, "_").slice(0, 50)}_${id.slice(-8)}`;
  const parameters = paramsSchema ?? { type: "object" };
  tools.push({ type: "function", function: { name: tool, description: description ?? name, parameters } });
  steps.set(tool, { id, version: publishedVersion });
}

const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: "user", content: question }];
for (let turn = 0; turn < turnsMax; turn += 1) {
  const { choices } = await openai.chat.completions.create({ model, messages, tools });
  const message = choices[0]!.message;
  messages.push(message);
  const calls = message.tool_calls ?? [];
  if (calls.length === 0) break;
  const answers = calls.map(async (call) => ({
    role: "tool" as const,
    tool_call_id: call.id,
    content: JSON.stringify(call.type === "function" ? await run(call.function) : { error: "no such tool" }),
  }));
  messages.push(...(await Promise.all(answers)));
}
process.stdout.write(`${JSON.stringify(messages.at(-1))}\n`);

/** What goes wrong is told to the model, which may try something else. */
async function run({ name, arguments: text }: { name: string; arguments: string }): Promise<unknown> {
  const step = steps.get(name);
  if (step === undefined) return { error: "no such tool" };
  let params: unknown;
  try {
    params = JSON.parse(text);
  } catch {
    return { error: "the arguments are not JSON" };
  }
  const { output = null, error } = await client.runs.submitAndWait({ step, params });
  return error === undefined ? output : { error: `${error.code}: ${error.message}` };
}
