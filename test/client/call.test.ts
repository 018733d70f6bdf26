/**
 * Calling operations by name. Goal: the right method and path with what was given in its place, in the key's own project, and
 * nothing that can be done twice by being sent twice. Method: a server on loopback that keeps what arrives; the types are
 * checked by the compiler.
 */
import { afterEach, describe, expect, expectTypeOf, test, vi } from "vitest";
import type { Api } from "../../client/client.ts";
import { clientOf, codeOf, failureOf, type Handler, json, project, serverKey, startServer } from "./server.ts";

const waitShortly = (): void => void vi.spyOn(Math, "random").mockReturnValue(0.02);
afterEach(() => vi.restoreAllMocks());

const other = "01890a5d-ac96-774b-bcce-b302099a8070";
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("call", () => {
  test("knows method and path by the operation's name, and the project by the key", async () => {
    const server = await startServer((response) => json(response, { name: "x" }));
    const client = clientOf(server.url);
    const secret = await client.call("getSecret", { secretName: "api_key" });
    expectTypeOf(secret).toEqualTypeOf<Api.Secret>();
    const given = { secretName: "api_key", body: { value: "v" }, headers: { "if-none-match": "*" } };
    await client.call("setSecret", { ...given, projectId: other });
    await client.call("listAuditEvents", { organizationId: other, query: { limit: 5 } });
    await client.call("getOwnKey");
    expect(server.arrived.map(({ method, url, body }) => [method, url, body])).toEqual([
      ["GET", `/v1/projects/${project}/secrets/api_key`, ""],
      ["PUT", `/v1/projects/${other}/secrets/api_key`, '{"value":"v"}'],
      ["GET", `/v1/organizations/${other}/audit?limit=5`, ""],
      ["GET", "/v1/key", ""],
    ]);
    expect(server.arrived[1]?.headers["if-none-match"]).toBe("*");
  });

  test("gives undefined for an answer that says nothing", async () => {
    const server = await startServer((response) => response.writeHead(204).end());
    expect(await clientOf(server.url).call("deleteSecret", { secretName: "x" })).toBeUndefined();
  });

  test("takes what the types say, and they refuse the rest", () => {
    const call = async (client: ReturnType<typeof clientOf>): Promise<unknown[]> => [
      // @ts-expect-error -- the path has a name that is not given
      await client.call("getSecret"),
      // @ts-expect-error -- nor is its body
      await client.call("setSecret", { secretName: "x" }),
      // @ts-expect-error -- there is no such operation
      await client.call("getSecrets"),
      // @ts-expect-error -- no such field
      await client.call("listRuns", { query: { sort: "up" } }),
      // @ts-expect-error -- an answer that is a stream is not called
      await client.call("streamRunEvents", { runId: other }),
      // @ts-expect-error -- and no list
      client.list("getSecret", { secretName: "x" }),
      // @ts-expect-error -- an organization has no default
      client.list("listProjects"),
    ];
    expectTypeOf(call).toBeFunction();
    expect(call.length).toBe(1);
  });

  test("puts what is given for a name into its one place, whatever it holds", async () => {
    const server = await startServer();
    const client = clientOf(`${server.url}/base`);
    await client.call("getSecret", { secretName: "a/b?c#d e" });
    expect(server.arrived[0]?.url).toBe(`/base/v1/projects/${project}/secrets/a%2Fb%3Fc%23d%20e`);
    for (const secretName of ["", ".", "..", "../..", undefined, null, {}, ["x"], serverKey]) {
      const call = client.call("getSecret", { secretName: secretName as string });
      const error = await call.catch((error: unknown) => error as { code?: string });
      // A slash cannot get out of its place.
      expect(secretName === "../.." ? undefined : "ERR_CLIENT_REQUEST").toBe((error as { code?: string }).code);
    }
    expect(server.arrived.map(({ url }) => url).at(-1)).toBe(`/base/v1/projects/${project}/secrets/..%2F..`);
    expect(server.arrived).toHaveLength(2);
  });

  test("refuses an operation that is not there, also one that every object has", async () => {
    const server = await startServer();
    for (const name of ["toString", "__proto__", "constructor", "nothing", ""])
      expect(await codeOf(clientOf(server.url).call(name as "getOwnKey"))).toBe("ERR_CLIENT_REQUEST");
    expect(server.arrived).toEqual([]);
  });

  test("sends what makes something again under the same key, a new one for each call, or the caller's own", async () => {
    waitShortly();
    const server = await startServer((response, number) => json(response, {}, number === 1 ? 503 : 200));
    const client = clientOf(server.url);
    const body = { name: "CI", scopes: ["trigger"], expiry: "none" } as const;
    await client.call("createProjectKey", { body });
    await client.call("createProjectKey", { body });
    await client.call("createProjectKey", { body, idempotencyKey: "order-17" });
    await client.call("rollbackSecret", { secretName: "x", body: { toVersion: 1 } });
    const keys = server.arrived.map(({ headers }) => headers["idempotency-key"]);
    expect(keys.slice(0, 3)).toEqual([expect.stringMatching(uuid), keys[0], expect.stringMatching(uuid)]);
    expect(keys[2]).not.toBe(keys[0]);
    expect(keys.slice(3)).toEqual(["order-17", undefined]);
  });

  test.each(["setSecret", "setSecretPolicy", "setOrganizationSecret", "setOrganizationSecretPolicy"] as const)(
    "does not send %s again, as each would be one more version",
    async (operation) => {
      const spoils: Handler[] = [(response) => json(response, {}, 503), (response) => response.destroy()];
      for (const spoil of spoils) {
        const server = await startServer(spoil);
        const given = {
          secretName: "api_key",
          organizationId: other,
          body: { value: "v" },
          idempotencyKey: "order-17",
        };
        const put = clientOf(server.url).call(operation as "setSecret", { ...given, headers: { "if-match": '"3"' } });
        await failureOf(put);
        expect(server.arrived.map(({ method }) => method)).toEqual(["PUT"]);
      }
    },
  );

  test("does not send again what has no key and would be done twice", async () => {
    const server = await startServer((response) => json(response, {}, 503));
    const call = clientOf(server.url).call("rollbackSecret", { secretName: "x", body: { toVersion: 1 } });
    expect(await failureOf(call)).toMatchObject({ status: 503 });
    expect(server.arrived).toHaveLength(1);
  });
});

describe("submitting a run", () => {
  const step = { id: other };

  test("sends the same run again, under an id that the client made", async () => {
    waitShortly();
    const server = await startServer((response, number) => {
      if (number === 1) return response.destroy();
      return json(response, { runId: other, created: number !== 2, status: "queued", result: null }, 202);
    });
    // The first attempt had made it, of which nobody told; it is new to the caller.
    expect(await clientOf(server.url).runs.submit({ step })).toMatchObject({ created: true });
    const bodies = server.arrived.map(({ body }) => JSON.parse(body) as { runId: string });
    expect(bodies).toEqual([
      { step, runId: expect.stringMatching(uuid) },
      { step, runId: bodies[0]?.runId },
    ]);
    await clientOf(server.url).runs.submit({ step });
    expect(JSON.parse(server.arrived[2]?.body ?? "")).not.toEqual(bodies[0]);
  });

  test("says that a run was there before when the caller chose its id", async () => {
    const answer = { runId: other, created: false, status: "queued", result: null };
    const server = await startServer((response) => json(response, answer));
    expect(await clientOf(server.url).runs.submit({ step, runId: other })).toMatchObject({ created: false });
    expect(JSON.parse(server.arrived[0]?.body ?? "")).toEqual({ step, runId: other });
  });

  test("waits no longer in one request than an attempt may take", async () => {
    const result = { runId: other, status: "succeeded", output: 1 };
    const server = await startServer((response, number) =>
      json(response, { runId: other, result: number === 1 ? null : result }),
    );
    const client = clientOf(server.url, { attemptTimeMsMax: 8_000 });
    expect(await client.runs.submitAndWait({ step })).toEqual(result);
    const waits = server.arrived.map(({ url }) => new URL(url, server.url).searchParams.get("wait"));
    expect(waits).toEqual(["6", "6"]);
  });

  test("is one submission for a stream that is iterated twice and asked for its result", async () => {
    const result = { runId: other, status: "succeeded", output: 1 };
    const server = await startServer((response, _, { method, body, url }) => {
      if (method === "POST") return json(response, { ...(JSON.parse(body) as object), result: null }, 202);
      if (url.endsWith("/stream")) return response.writeHead(204).end();
      return json(response, { result });
    });
    const stream = clientOf(server.url).runs.stream({ step });
    expect(stream.runId).toMatch(uuid);
    expect(server.arrived).toEqual([]);
    for (let count = 0; count < 2; count += 1) for await (const _ of stream);
    expect(await stream.result()).toEqual(result);
    const posts = server.arrived.filter(({ method }) => method === "POST");
    expect(posts.map(({ body }) => JSON.parse(body) as object)).toEqual([{ step, runId: stream.runId }]);
  });

  test("of a stream that failed can be tried again as the same run", async () => {
    const server = await startServer((response, number) => {
      if (number === 1) return json(response, { code: "ERR_FORBIDDEN" }, 403);
      return number === 2 ? json(response, { runId: other }, 202) : response.writeHead(204).end();
    });
    const stream = clientOf(server.url).runs.stream({ step });
    const follow = async (): Promise<void> => {
      for await (const _ of stream);
    };
    expect(await codeOf(follow())).toBe("ERR_FORBIDDEN");
    await follow();
    const [first, second] = server.arrived;
    expect([server.arrived.length, second?.body]).toEqual([3, first?.body]);
  });
});

describe("waiting for a run", () => {
  test("bears a server that is away for a while, and asks again and again", async () => {
    waitShortly();
    const result = { runId: other, status: "failed" };
    const server = await startServer((response, number) => {
      if (number === 2 || number === 9) return json(response, { result: null });
      if (number < 10) return response.destroy();
      return json(response, { result });
    });
    expect(await clientOf(server.url, { retriesMax: 0 }).runs.wait(other)).toEqual(result);
    expect(server.arrived).toHaveLength(10);
  });

  test("ends in time, by its signal, and at once when the run is not there", async () => {
    const server = await startServer((response) => json(response, { result: null }));
    const { runs } = clientOf(server.url);
    const begun = performance.now();
    const late = await failureOf(runs.wait(other, { timeMsMax: 400 }));
    expect([late.code, late.message]).toEqual([
      "ERR_CLIENT_TIMEOUT",
      "Cannot wait for the run: it has not ended within 400 ms",
    ]);
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect(server.arrived.length).toBeLessThan(10);
    const reason = new Error("enough");
    await expect(runs.wait(other, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const absent = await startServer((response) => json(response, { code: "ERR_RUN_UNKNOWN" }, 404));
    expect(await codeOf(clientOf(absent.url).runs.wait(other))).toBe("ERR_RUN_UNKNOWN");
    expect(absent.arrived).toHaveLength(1);
  });
});

describe("a list", () => {
  const pages =
    (count: number): Parameters<typeof startServer>[0] =>
    (response, _, { url }) => {
      const { searchParams } = new URL(url, "http://x");
      const [from, size] = [Number(searchParams.get("cursor") ?? 0), Number(searchParams.get("limit"))];
      const data = Array.from({ length: Math.min(size, count - from) }, (_, index) => ({ id: from + index }));
      const hasMore = from + size < count;
      json(response, { data, pagination: hasMore ? { cursor: String(from + size), hasMore } : { hasMore } });
    };
  const idsOf = async (list: AsyncIterable<object>): Promise<unknown[]> => {
    const ids: unknown[] = [];
    for await (const item of list) ids.push((item as { id: unknown }).id);
    return ids;
  };

  test("goes over all pages, with the same filters, in as few requests as can be", async () => {
    const server = await startServer(pages(250));
    const filter = { status: ["failed", "crashed"], label: "agentId:a b" } as const;
    expect(await idsOf(clientOf(server.url).runs.list(filter))).toEqual(
      Array.from({ length: 250 }, (_, index) => index),
    );
    const [first] = server.arrived;
    expect(server.arrived).toHaveLength(3);
    expect(first?.url).toBe(`/v1/projects/${project}/runs?status=failed&status=crashed&label=agentId%3Aa+b&limit=100`);
    expect(server.arrived[2]?.url).toBe(`${first?.url}&cursor=200`);
  });

  test("gives no more than are wanted, and asks for no page that nobody takes", async () => {
    const server = await startServer(pages(1_000));
    const { runs, steps } = clientOf(server.url);
    expect(await idsOf(runs.list({ limit: 7 }))).toHaveLength(7);
    expect(await idsOf(steps.list({ limit: 150 }))).toHaveLength(150);
    expect(await idsOf(steps.list({ limit: 0 }))).toEqual([]);
    for await (const _ of runs.list()) break;
    const limits = server.arrived.map(({ url }) => new URL(url, "http://x").searchParams.get("limit"));
    expect(limits).toEqual(["7", "100", "50", "100"]);
  });

  test("gives no more than are wanted of a server that sends more", async () => {
    const server = await startServer((response) =>
      json(response, { data: [1, 2, 3].map((id) => ({ id })), pagination: {} }),
    );
    expect(await idsOf(clientOf(server.url).list("listSecrets", { query: { limit: 2 } }))).toEqual([1, 2]);
  });

  test("ends with the reason of its signal when that is aborted while an entry is looked at", async () => {
    const server = await startServer(pages(5));
    const [controller, reason, seen] = [new AbortController(), new Error("seen enough"), [] as unknown[]];
    const look = async (): Promise<void> => {
      for await (const item of clientOf(server.url).runs.list({}, { signal: controller.signal })) {
        seen.push(item);
        if (seen.length === 2) controller.abort(reason);
      }
    };
    await expect(look()).rejects.toBe(reason);
    expect(seen).toHaveLength(2);
  });

  test("ends where a page leads to itself", async () => {
    const server = await startServer((response) =>
      json(response, { data: [], pagination: { cursor: "x", hasMore: true } }),
    );
    expect(await codeOf(idsOf(clientOf(server.url).list("listSecrets")))).toBe("ERR_CLIENT_ANSWER");
    expect(server.arrived).toHaveLength(2);
  });
});
