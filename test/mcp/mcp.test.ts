/** `stepvault mcp` as an MCP client meets it: the official client, the command as its child process, and a real API behind it. */
import type { LoggingMessageNotification, Progress } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { type ApiService, openApiService } from "../helpers/api.ts";
import { setSecret } from "../helpers/vault.ts";
import {
  initialize,
  type McpClient,
  openMcp,
  openRawMcp,
  type Place,
  publishStep,
  type StepToPublish,
} from "./client.ts";

let api: ApiService;
let place: Place;
const secret = "a-value-that-nobody-may-see";

beforeAll(async () => {
  api = await openApiService();
  place = { url: api.api.address, projectId: api.projectId, key: await api.key(["trigger", "read:runs"]) };
  await setSecret(api.service.vault, api.projectId, "api_key", secret);
  await publish({ name: "Look city up", code: 'return { city: params.city, key: "<<secrets.api_key>>" }' });
  await publish({ name: "Give back", code: "return params.value" });
  const code = 'import asyncio, logging\nprint("one")\nawait asyncio.sleep(1.2)\nlogging.warning("two")\nreturn 1';
  await publish({ name: "Talk", language: "python", code });
  await publish({ name: "Fail", code: 'throw new Error("no such city: <<secrets.api_key>>")' });
  await publish({ name: "Wait", code: "await new Promise((done) => setTimeout(done, 30_000))" });
});
afterAll(async () => await api?.close());

async function publish(step: StepToPublish): Promise<string> {
  return await publishStep(api, step);
}

async function open(
  ...[options]: Parameters<typeof openMcp> extends [Place, ...infer Rest] ? Rest : never
): Promise<McpClient> {
  const mcp = await openMcp(place, options);
  onTestFinished(async () => await mcp.close());
  return mcp;
}

async function runsOf(tool: string): Promise<{ id: string; status: string }[]> {
  return (await api.ask(`${api.base}/runs?label=tool:${tool}`)).body.data as { id: string; status: string }[];
}

describe("an MCP client", () => {
  for (const mode of ["legacy", "auto"] as const) {
    test(`sees published steps as tools and calls one, by the protocol that \`${mode}\` takes`, async () => {
      const paramsSchema = { properties: { n: { type: "integer" } }, required: ["n"] };
      const named = { description: `Doubles a number (${mode})`, paramsSchema, code: "return { twice: params.n * 2 }" };
      await publish({ name: `Twice ${mode}`, ...named });
      await publish({ name: `Draft ${mode}`, code: "return 1", publish: false });
      const { client } = await open({ mode });
      const { tools } = await client.listTools();
      expect(tools.find(({ name }) => name === `Twice_${mode}`)).toEqual({
        name: `Twice_${mode}`,
        title: `Twice ${mode}`,
        description: `Doubles a number (${mode})`,
        inputSchema: { type: "object", ...paramsSchema },
      });
      expect(tools.find(({ name }) => name === "Give_back")?.inputSchema).toEqual({ type: "object" });
      expect(tools.some(({ name }) => name.startsWith("Draft"))).toBe(false);
      const result = await client.callTool({ name: `Twice_${mode}`, arguments: { n: 21 } });
      expect(result).toMatchObject({
        content: [{ type: "text", text: '{"twice":42}' }],
        structuredContent: { twice: 42 },
      });
      expect(result.isError).toBeUndefined();
    });
  }

  test("gets outputs in which secrets are redacted, and sends arguments in which references are text", async () => {
    const { client } = await open();
    const city = "<<secrets.api_key>> {{secrets.api_key}}";
    const { structuredContent } = await client.callTool({ name: "Look_city_up", arguments: { city } });
    expect(structuredContent).toEqual({ city, key: "[REDACTED:api_key]" });
  });

  test("gets outputs that are no object", async () => {
    const { client } = await open();
    for (const value of [[1, "two"], "text", 0, null]) {
      const result = await client.callTool({ name: "Give_back", arguments: { value } });
      expect([result.content, result.structuredContent]).toEqual([
        [{ type: "text", text: JSON.stringify(value) }],
        { result: value },
      ]);
    }
    const { client: modern } = await open({ mode: "auto" });
    const { structuredContent } = await modern.callTool({ name: "Give_back", arguments: { value: [1] } });
    expect(structuredContent).toEqual([1]);
  });

  test("hears of what a step prints while it runs", async () => {
    const { client } = await open();
    const progress: Progress[] = [];
    const logged: LoggingMessageNotification["params"][] = [];
    let early = 0;
    client.setNotificationHandler("notifications/message", ({ params }) => void logged.push(params));
    const onprogress = (told: Progress): void => void progress.push(told);
    const calling = client.callTool({ name: "Talk", arguments: {} }, { onprogress });
    await vi.waitFor(() => expect(logged).toHaveLength(1), { timeout: 10_000, interval: 10 });
    early = logged.length;
    expect((await calling).structuredContent).toEqual({ result: 1 });
    expect(early).toBe(1);
    expect(progress.map(({ message }) => message)).toEqual(["started", "one", "warn: two"]);
    expect(progress.map((told) => told.progress)).toEqual([1, 2, 3]);
    expect(logged).toMatchObject([
      { level: "info", logger: "Talk", data: "one" },
      { level: "warning", logger: "Talk", data: 'two {"logger":"root"}' },
    ]);
  });

  test("is told by code and message why a step failed", async () => {
    const { client } = await open();
    const { isError, content, structuredContent } = await client.callTool({ name: "Fail", arguments: {} });
    expect([isError, content]).toEqual([
      true,
      [
        {
          type: "text",
          text: expect.stringMatching(/^ERR_STEP_THREW: .*no such city: \[REDACTED:api_key\].*\(line 1/),
        },
      ],
    ]);
    expect(structuredContent).toMatchObject({ error: { code: "ERR_STEP_THREW" } });
    await expect(client.callTool({ name: "None", arguments: {} })).rejects.toThrow(/there is none/);
  });

  test("ends the run of a call that it cancels", async () => {
    const { client } = await open();
    const before = (await runsOf("Wait")).length;
    const stop = new AbortController();
    const calling = client.callTool({ name: "Wait", arguments: {} }, { signal: stop.signal });
    await vi.waitFor(async () => expect((await runsOf("Wait"))[0]?.status).toBe("running"), 15_000);
    stop.abort();
    await expect(calling).rejects.toThrow(/abort/i);
    await vi.waitFor(async () => expect((await runsOf("Wait"))[0]?.status).toBe("cancelled"), 15_000);
    expect((await runsOf("Wait")).length).toBe(before + 1);
    expect((await client.callTool({ name: "Give_back", arguments: { value: 1 } })).isError).toBeUndefined();
  });

  test("that goes away in the middle of a call takes the run and the command with it", async () => {
    const mcp = openRawMcp(place);
    mcp.send(initialize);
    await mcp.answer(1);
    mcp.send('{"jsonrpc":"2.0","method":"notifications/initialized"}');
    mcp.send('{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"Wait","arguments":{}}}');
    await vi.waitFor(async () => expect((await runsOf("Wait"))[0]?.status).toBe("running"), 15_000);
    expect((await mcp.end()).code).toBe(0);
    await vi.waitFor(async () => expect((await runsOf("Wait"))[0]?.status).toBe("cancelled"), 15_000);
  });

  for (const mode of ["legacy", "auto"] as const) {
    test(`is told when other steps are published, by \`${mode}\``, async () => {
      const heard: string[][] = [];
      const tools = {
        onChanged: (_: Error | null, list: { name: string }[] | null) =>
          void heard.push((list ?? []).map(({ name }) => name)),
      };
      const { client } = await open({ mode, listChanged: { tools } });
      expect((await client.listTools()).tools.map(({ name }) => name)).toContain("Give_back");
      await publish({ name: `Later ${mode}`, code: "return 1" });
      await vi.waitFor(() => expect(heard.at(-1)).toContain(`Later_${mode}`), 15_000);
    });
  }
});
