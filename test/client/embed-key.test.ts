/**
 * Making embed keys with the client library. Goal: one request, authenticated by the parent key, that says what
 * docs/keys-api.md can say, and a Key of the answer. Method: a real server on loopback that answers as the API's routes
 * will; it keeps what arrives.
 */
import { describe, expect, test } from "vitest";
import { Key, type NewEmbedKey } from "../../client/key.ts";
import { agentId, codeOf, embedKey, json, newEmbedKey, newServerKey, project } from "./server.ts";
import { serverKey, startServer, taskPrefix, type TestServer, workforceId } from "./server.ts";

const answer = { embed_key: embedKey, conversation_prefix: taskPrefix };

async function generate(server: TestServer, more: Partial<NewEmbedKey> = {}): Promise<Key> {
  return await Key.generateEmbedKey({ parent: newServerKey(), agentId, ...more }, { baseUrl: server.url });
}

describe("generateEmbedKey", () => {
  test("requirement 34: makes one POST with the parent key for an agent, and gives its embed key", async () => {
    const server = await startServer((response) => json(response, answer));
    const key = await generate(server);
    expect(key.toJSON()).toEqual({ key: embedKey, region: "eu", project, agentId, taskPrefix });
    expect(server.arrived).toHaveLength(1);
    expect(server.arrived[0]).toMatchObject({
      method: "POST",
      url: "/v1/agents/get_embed_key",
      headers: { authorization: `${project}:${serverKey}`, "content-type": "application/json" },
      body: JSON.stringify({ agent_id: agentId, project }),
    });
  });

  test("for a workforce asks the workforce's route, also when an agent is given too", async () => {
    const server = await startServer((response) => json(response, answer));
    const key = await generate(server, { workforceId });
    expect(key.toJSON()).toEqual({ key: embedKey, region: "eu", project, workforceId, taskPrefix });
    expect(server.arrived[0]?.url).toBe("/v1/workforce/get_embed_key");
    expect(JSON.parse(server.arrived[0]?.body ?? "")).toEqual({ workforce_id: workforceId, project });
  });

  test("hands on origins, expiry and budgets", async () => {
    const server = await startServer((response) => json(response, answer));
    const origins = ["https://shop.example"];
    const expiresAt = new Date("2027-01-01T00:00:00Z");
    await generate(server, { origins, expiresAt, requestsMax: 1000, requestsPerMinuteMax: 10 });
    expect(JSON.parse(server.arrived[0]?.body ?? "")).toEqual({
      agent_id: agentId,
      project,
      origins,
      expires_at: "2027-01-01T00:00:00.000Z",
      requests_max: 1000,
      requests_per_minute_max: 10,
    });
  });

  test("is never repeated: a key that nobody got would go on working", async () => {
    const server = await startServer((response) => json(response, {}, 503));
    await expect(generate(server)).rejects.toMatchObject({ status: 503 });
    const broken = await startServer((response) => response.destroy());
    expect(await codeOf(generate(broken))).toBe("ERR_CLIENT_NETWORK");
    expect([server.arrived.length, broken.arrived.length]).toEqual([1, 1]);
  });

  test("asks nobody when it cannot be", async () => {
    const server = await startServer((response) => json(response, answer));
    const refusals = [
      generate(server, { parent: newEmbedKey() }),
      generate(server, { parent: structuredClone(newServerKey()) }),
      generate(server, { agentId: undefined }),
      generate(server, { agentId: "a/b" }),
      generate(server, { expiresAt: new Date("never") }),
    ];
    for (const refusal of refusals) expect(await codeOf(refusal)).toBe("ERR_KEY_INVALID");
    expect(server.arrived).toEqual([]);
  });

  test("takes no answer that is not an embed key of its region", async () => {
    const answers: [unknown, string][] = [
      [{ ...answer, embed_key: serverKey }, "ERR_KEY_INVALID"],
      [{ ...answer, embed_key: embedKey.replace("eu", "us") }, "ERR_KEY_CHECKSUM"],
      [{ ...answer, embed_key: undefined }, "ERR_KEY_MALFORMED"],
      [{ ...answer, conversation_prefix: undefined }, "ERR_KEY_INVALID"],
      [null, "ERR_KEY_MALFORMED"],
      ["text", "ERR_KEY_MALFORMED"],
    ];
    const server = await startServer((response, number) => json(response, answers[number - 1]?.[0]));
    for (const [, code] of answers) expect(await codeOf(generate(server))).toBe(code);
  });
});
