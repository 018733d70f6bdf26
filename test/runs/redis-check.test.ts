/** Which Redis is refused at the start, with real servers of every kind, and that no refusal tells the URL. */
import { readFileSync } from "node:fs";
import { type AddressInfo, createServer, type Socket } from "node:net";
import path from "node:path";
import { createServer as createTlsServer } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parseRedisAddress } from "../../protocol/redis-address.ts";
import { connectToRedis } from "../../runs/redis.ts";
import { checkRedis } from "../../runs/redis-check.ts";
import {
  dataPassword,
  type RedisServers,
  sentinelPassword,
  startClusterRedis,
  startSentinelRedis,
  startSingleRedis,
} from "../helpers/redis-servers.ts";

const words = [dataPassword, sentinelPassword].flatMap((word) => [word, encodeURIComponent(word)]);

/** The error with all that hangs on it, as a log would write it. */
async function refusalOf(redisUrl: string): Promise<{ code: string; message: string; text: string }> {
  const error = (await checkRedis(redisUrl).then(
    () => {
      throw new Error("this Redis was accepted");
    },
    (reason: unknown) => reason,
  )) as Error & { code: string };
  return { code: error.code, message: error.message, text: everythingIn(error) };
}

function everythingIn(value: unknown, seen = new Set<unknown>()): string {
  if (typeof value !== "object" || value === null || seen.has(value)) return String(value);
  seen.add(value);
  return Object.getOwnPropertyNames(value)
    .map((name) => `${name}: ${everythingIn((value as Record<string, unknown>)[name], seen)}`)
    .join("\n");
}

function expectNoWords(text: string): void {
  for (const word of [...words, "hunter2"]) expect(text).not.toContain(word);
}

describe("checkRedis()", () => {
  const kinds: Record<"single" | "sentinel" | "cluster", RedisServers> = {} as never;
  beforeAll(async () => {
    const started = await Promise.all([
      startSingleRedis({ appendOnly: false }),
      startSentinelRedis(),
      startClusterRedis(),
    ]);
    [kinds.single, kinds.sentinel, kinds.cluster] = started;
  });
  afterAll(async () => {
    await Promise.all(Object.values(kinds).map(async (servers) => await servers.stop()));
  });

  test("accepts each kind, and tells whether a restart would lose what is queued", async () => {
    expect(await checkRedis(kinds.single.url)).toMatchObject({ keepsJobs: false });
    expect(await checkRedis(kinds.sentinel.url)).toMatchObject({ keepsJobs: true });
    expect(await checkRedis(kinds.cluster.url)).toMatchObject({ keepsJobs: true });
  });

  test.each(["single", "sentinel", "cluster"] as const)(
    "a password of %s that is refused is in no part of the error",
    async (kind) => {
      const { code, message, text } = await refusalOf(
        kinds[kind].url.replace(encodeURIComponent(dataPassword), "hunter2"),
      );
      expect([code, message]).toEqual(["ERR_REDIS", expect.stringContaining("refuses the user, the password")]);
      expect(text).toContain("WRONGPASS");
      expectNoWords(text);
    },
  );

  test("a wrong password for the Sentinels, none at all, and a set that they do not know", async () => {
    const url = kinds.sentinel.url;
    const wrong = await refusalOf(url.replace(encodeURIComponent(sentinelPassword), "hunter2"));
    expect(wrong.message).toContain("refuses the user, the password");
    expectNoWords(wrong.text);
    const none = await refusalOf(url.replace(/&sentinelPassword=.*/, ""));
    expect(none.message).toContain("refuses the user, the password");
    const unknown = await refusalOf(url.replace("stepvault-set", "hunter2"));
    expect(unknown.message).toContain("its Sentinels know no set of this name");
    expectNoWords(unknown.text);
  });

  test("a server of another kind than the setting says is told apart", async () => {
    const { single, sentinel, cluster } = kinds;
    const url = (scheme: string, { nodes }: RedisServers, at: number, query = ""): string =>
      `${scheme}://:${encodeURIComponent(dataPassword)}@127.0.0.1:${nodes[at]?.port}${query}`;
    expect((await refusalOf(url("redis", cluster, 0))).message).toContain("it is of the kind cluster");
    expect((await refusalOf(url("redis-cluster", single, 0))).message).toContain("it is of the kind standalone");
    const query = `?master=stepvault-set&sentinelPassword=${encodeURIComponent(dataPassword)}`;
    expect((await refusalOf(url("redis-sentinel", single, 0, query))).message).toContain(
      "it is of the kind standalone",
    );
    expect((await refusalOf(url("redis", sentinel, 1))).message).toContain("it is a read-only replica");
  });

  test.each(["sentinel", "cluster"] as const)(
    "one master of %s that may evict keys is enough to refuse",
    async (kind) => {
      const [master] = (await kinds[kind].masters()).reverse();
      if (master === undefined) throw new Error("there is no master");
      const client = kinds[kind].client(master);
      await client.config("SET", "maxmemory-policy", "allkeys-lru");
      const refused = await refusalOf(kinds[kind].url);
      await client.config("SET", "maxmemory-policy", "noeviction");
      client.disconnect();
      expect(refused).toMatchObject({ code: "ERR_REDIS_EVICTION", message: expect.stringContaining("allkeys-lru") });
      expectNoWords(refused.text);
    },
  );

  test("servers that are not there, without the URL", async () => {
    for (const url of [
      "redis://user:hunter2@127.0.0.1:1/2",
      "redis-sentinel://:hunter2@127.0.0.1:1,127.0.0.1:2?master=hunter2&sentinelPassword=hunter2",
      "redis-cluster://:hunter2@127.0.0.1:1,127.0.0.1:2",
    ]) {
      const { code, message, text } = await refusalOf(url);
      expect([code, message]).toEqual(["ERR_REDIS", expect.stringContaining("it does not answer")]);
      expectNoWords(text);
    }
  });

  test("with TLS, no password goes to a server that does not speak it or shows a certificate that nobody signed", async () => {
    const tlsFile = (name: string): Buffer => readFileSync(path.join(import.meta.dirname, "../helpers/tls", name));
    const received: Buffer[] = [];
    const keep = (socket: Socket): void => {
      socket.on("error", () => {});
      socket.on("data", (bytes: Buffer) => {
        received.push(bytes);
        socket.destroy();
      });
    };
    const clear = createServer(keep);
    const unsigned = createTlsServer({ key: tlsFile("server.key"), cert: tlsFile("server.pem") }, keep);
    const refusals: string[] = [];
    for (const server of [clear, unsigned]) {
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      const refused = await refusalOf(`rediss://:hunter2@127.0.0.1:${port}`);
      expect(refused.code).toBe("ERR_REDIS");
      refusals.push(refused.message);
      server.close();
    }
    expect(refusals[1]).toContain("its certificate or its TLS is not accepted");
    // A handshake of TLS begins with the byte 22.
    expect(received.map((bytes) => bytes[0])).toEqual([22]);
    expectNoWords(Buffer.concat(received).toString("latin1"));
  });

  test("a Cluster that does not cover all slots is refused", async () => {
    const [master] = await kinds.cluster.masters();
    if (master === undefined) throw new Error("there is no master");
    const client = kinds.cluster.client(master);
    // So that it says of itself that all is well.
    await client.config("SET", "cluster-require-full-coverage", "no");
    await client.call("cluster", "delslots", "0");
    const refused = await refusalOf(`redis-cluster://:${encodeURIComponent(dataPassword)}@127.0.0.1:${master.port}`);
    await client.call("cluster", "addslots", "0");
    await client.config("SET", "cluster-require-full-coverage", "yes");
    client.disconnect();
    expect(refused.message).toContain("the cluster covers 16383 of 16384 slots");
  });

  test.each(["sentinel", "cluster"] as const)(
    "a start in the middle of a failover of %s waits for its end",
    async (kind) => {
      const failover = kinds[kind].failover();
      await new Promise((resolve) => setTimeout(resolve, 300));
      await expect(checkRedis(kinds[kind].url)).resolves.toMatchObject({ keepsJobs: true });
      const { killed } = await failover;
      await kinds[kind].restart(killed);
    },
  );

  test.each(["sentinel", "cluster"] as const)(
    "every server of %s is known, although the URL names one",
    async (kind) => {
      const { url, nodes } = kinds[kind];
      const one = url.replace(/(@[^,]+)[^?]*/, "$1");
      const address = parseRedisAddress(one);
      if (address === undefined) throw new Error("no address");
      await expect
        .poll(
          async () => {
            const { servers } = await checkRedis(one);
            const connections = connectToRedis(address, servers);
            connections.close();
            return [...connections.servers()].sort();
          },
          { timeout: 30_000 },
        )
        .toEqual(nodes.map(({ port }) => `127.0.0.1:${port}`).sort());
    },
  );

  test.each(["sentinel", "cluster"] as const)("a client learns of every server of %s by itself", async (kind) => {
    const { url, nodes } = kinds[kind];
    const address = parseRedisAddress(url.replace(/(@[^,]+)[^?]*/, "$1"));
    if (address === undefined) throw new Error("no address");
    const connections = connectToRedis(address, []);
    connections.askingClient();
    await expect
      .poll(() => [...connections.servers()].sort(), { timeout: 30_000 })
      .toEqual(nodes.map(({ port }) => `127.0.0.1:${port}`).sort());
    connections.close();
  });
});
