/** The forms of STEPVAULT_REDIS_URL: what each says, what is none, and that nothing of a wrong one is ever shown. */
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../protocol/config.ts";
import { parseRedisAddress } from "../../protocol/redis-address.ts";

const nothing = { login: undefined, database: 0, master: undefined, sentinelLogin: undefined };

describe("parseRedisAddress()", () => {
  test.each([
    ["redis://db", { ...nothing, kind: "single", tls: false, servers: [{ host: "db", port: 6379 }] }],
    [
      "rediss://app:p%40ss%2Fword+=@db.example:6400/3",
      {
        ...nothing,
        kind: "single",
        tls: true,
        servers: [{ host: "db.example", port: 6400 }],
        login: { username: "app", password: "p@ss/word+=" },
        database: 3,
      },
    ],
    [
      "redis://:a:b@[::1]:1",
      {
        ...nothing,
        kind: "single",
        tls: false,
        servers: [{ host: "::1", port: 1 }],
        login: { username: undefined, password: "a:b" },
      },
    ],
    [
      "redis-sentinel://u:p@s1,s2:26380,[fd00::1]/2?master=my.master_1-a&sentinelUser=w%26&sentinelPassword=x+y%26z",
      {
        kind: "sentinel",
        tls: false,
        servers: [
          { host: "s1", port: 26_379 },
          { host: "s2", port: 26_380 },
          { host: "fd00::1", port: 26_379 },
        ],
        login: { username: "u", password: "p" },
        database: 2,
        master: "my.master_1-a",
        sentinelLogin: { username: "w&", password: "x+y&z" },
      },
    ],
    [
      "rediss-cluster://:p@10.0.0.1,10.0.0.2:7001/",
      {
        ...nothing,
        kind: "cluster",
        tls: true,
        servers: [
          { host: "10.0.0.1", port: 6379 },
          { host: "10.0.0.2", port: 7001 },
        ],
        login: { username: undefined, password: "p" },
      },
    ],
  ])("reads %s", (text, address) => {
    expect(parseRedisAddress(text)).toEqual(address);
  });

  const wrong = {
    "another protocol": "http://hunter2@db",
    "no host": "redis://:hunter2@",
    "a path that is no number": "redis://:hunter2@db/hunter2",
    "two servers where one is meant": "redis://:hunter2@a,b",
    "a query where none is known": "redis://:hunter2@db?family=6",
    "a password that is not encoded": "redis://:hunter2/x@db",
    "an at sign in a password": "redis://:hunter2@x@db",
    "a word that may be user or password": "redis://hunter2@db",
    "an empty password": "redis://hunter2:@db",
    "a broken percent sign": "redis://:hunter2%zz@db",
    "a port beyond the last": "redis://:hunter2@db:65536",
    "port 0": "redis://:hunter2@db:0",
    "an address that is none": "redis://:hunter2@[::hunter2]",
    "an empty place in a list": "redis-cluster://:hunter2@a,,b",
    "blanks around": " redis://:hunter2@db",
    "a second line": "redis://:hunter2@db\n",
    "a fragment": "redis-sentinel://:hunter2@db?master=m#hunter2",
    "Sentinels without a name": "redis-sentinel://:hunter2@db",
    "Sentinels with an odd name": "redis-sentinel://:hunter2@db?master=a%20b",
    "a name given twice": "redis-sentinel://:hunter2@db?master=a&master=b",
    "an unknown option": "redis-sentinel://:hunter2@db?master=a&hunter2=b",
    "a user of the Sentinels without a password": "redis-sentinel://:hunter2@db?master=a&sentinelUser=b",
    "a Cluster's database": "redis-cluster://:hunter2@db/1",
    "a Cluster with a master": "redis-cluster://:hunter2@db?master=a",
    "more servers than anybody has": `redis-cluster://${Array.from({ length: 101 }, (_, at) => `hunter2-${at}`).join(",")}`,
  };
  test.each(Object.entries(wrong))("refuses %s, and the settings say the rule alone", (_, text) => {
    expect(parseRedisAddress(text)).toBe(undefined);
    const parse = (): unknown => parseConfig({ STEPVAULT_REDIS_URL: text });
    expect(parse).toThrow(/STEPVAULT_REDIS_URL: must be redis\[s\]:/);
    expect(parse).not.toThrow(/hunter2/);
  });

  test("a long text that is no address is refused at once", () => {
    const started = performance.now();
    expect(parseRedisAddress(`redis-cluster://${"a.".repeat(100_000)}`)).toBe(undefined);
    expect(parseRedisAddress(`redis://${"a:".repeat(100_000)}`)).toBe(undefined);
    expect(parseRedisAddress(`redis-cluster://${"a,".repeat(100_000)}!`)).toBe(undefined);
    expect(performance.now() - started).toBeLessThan(500);
  });
});

test("every server of an address is one that no step may reach", () => {
  const own = (text: string): readonly string[] =>
    parseConfig({ STEPVAULT_REDIS_URL: text }).egress.own.filter((server) => !server.endsWith(":8484"));
  expect(own("rediss://:word@Db.Example")).toEqual(["db.example:6379"]);
  expect(own("redis-sentinel://:word@s1,[FD00::1]:1?master=m")).toEqual(["s1:26379", "[fd00::1]:1"]);
  expect(own("redis-cluster://:word@a:1,b,c:3")).toEqual(["a:1", "b:6379", "c:3"]);
});
