/** Settings: defaults, bounds, and a wrong start that lists everything wrong at once and shows no value. */
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../protocol/config.ts";
import type { StepvaultError } from "../../protocol/error.ts";

function failure(environment: Record<string, string>): StepvaultError {
  try {
    parseConfig(environment);
  } catch (error) {
    return error as StepvaultError;
  }
  throw new Error("the settings were accepted");
}

describe("parseConfig()", () => {
  test("an empty environment is a working embedded deployment", () => {
    expect(parseConfig({ PATH: "/bin" })).toMatchObject({
      dataDir: ".stepvault",
      databaseUrl: undefined,
      redisUrl: undefined,
      region: "us",
      workerConcurrency: 4,
      egress: { open: [], own: ["127.0.0.1:8484", "[::1]:8484"], nameServers: [] },
    });
  });
  test("reads numbers, lists and the operator's maxima", () => {
    const config = parseConfig({
      STEPVAULT_WORKER_CONCURRENCY: "8",
      STEPVAULT_EGRESS_OPEN: "127.0.0.1:80, [::1]:443,db.local:1",
      STEPVAULT_MAX_WALL_TIME_MS: "5000",
    });
    expect(config).toMatchObject({
      workerConcurrency: 8,
      egress: { open: ["127.0.0.1:80", "[::1]:443", "db.local:1"] },
    });
    expect(config.limitMaxima.wallTimeMsMax).toBe(5_000);
  });
  test("knows the deployment's own servers, and name servers by address alone", () => {
    const { egress } = parseConfig({
      STEPVAULT_DATABASE_URL: "postgres://user:word@db.example/stepvault",
      STEPVAULT_REDIS_URL: "redis://127.0.0.1:6400",
      STEPVAULT_EGRESS_NAME_SERVERS: "9.9.9.9, 127.0.0.1:5353,::1,[::1]:53",
      STEPVAULT_API_HOST: "10.0.0.7",
      STEPVAULT_API_PORT: "80",
    });
    const api = ["10.0.0.7:80", "127.0.0.1:80", "[::1]:80"];
    expect(egress.own).toEqual(["db.example:5432", "127.0.0.1:6400", ...api]);
    expect(egress.nameServers).toEqual(["9.9.9.9", "127.0.0.1:5353", "::1", "[::1]:53"]);
    for (const text of ["dns.example", "dns.example:53", "9.9.9.9:", "9.9.9"]) {
      expect(failure({ STEPVAULT_EGRESS_NAME_SERVERS: text }).code).toBe("ERR_CONFIG_INVALID");
    }
  });
  test("names every wrong key with its rule, and no value", () => {
    const wrong = {
      STEPVAULT_REGION: "sk-pasted",
      STEPVAULT_MASTER_KEY: "sk-pasted",
      STEPVAULT_REDIS_URL: "sk-pasted",
      STEPVAULT_DATABASE_URL: "sk-pasted",
      STEPVAULT_EGRESS_OPEN: "sk-pasted",
      STEPVAULT_WORKER_CONCURRENCY: "0",
      STEPVAULT_HOSTS_IDLE_MAX: "many",
      STEPVAULT_MAX_TIMERS: "-1",
      STEPVAULT_NO_SUCH: "sk-pasted",
    };
    const { code, message } = failure(wrong);
    expect(code).toBe("ERR_CONFIG_INVALID");
    for (const key of Object.keys(wrong)) expect(message).toContain(key);
    expect(message).toContain("9 wrong setting(s)");
    expect(message).not.toContain("pasted");
  });
  test("the result cannot be changed", () => {
    expect(Object.isFrozen(parseConfig({}))).toBe(true);
  });
});
