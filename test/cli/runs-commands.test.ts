/**
 * Goal: the commands on runs, steps and schedules do the same by the database and by an API: data alone on stdout, the exit
 * code by a run's end, and no value of a secret and no key anywhere. Real processes against one running service.
 */
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openApi, type OpenApi } from "../../cli/serve.ts";
import { startProxy } from "../client/proxy.ts";
import { setSecret } from "../helpers/vault.ts";
import { openTestService, type TestService } from "../helpers/service.ts";
import { type Ended, objectsOf, start, stepvault } from "./stepvault.ts";

const value = "a-value-that-no-command-shows";
let service: TestService;
let api: OpenApi;
let key: string;
let files: Record<"good" | "bad" | "slow" | "brief" | "python" | "unknown" | "key" | "schema", string>;

beforeAll(async () => {
  service = await openTestService({ STEPVAULT_API_PORT: "0" });
  api = await openApi(service.service);
  await setSecret(service.service.vault, service.projectId, "TOKEN", value);
  const wanted = { projectId: service.projectId, name: "CLI", scopes: ["admin"] as const, expiry: "none" as const };
  key = (await service.service.vault.keys.createForProject(wanted)).key;
  const write = (name: string, text: string): string => {
    const file = path.join(service.folder, name);
    writeFileSync(file, text);
    return file;
  };
  files = {
    good: write("good.js", "console.log(<<secrets.TOKEN>>); return { got: params.n, token: <<secrets.TOKEN>> }"),
    bad: write("bad.js", "console.log('before');\nthrow new Error(`with ${<<secrets.TOKEN>>}`)"),
    slow: write("slow.js", "console.log('begun'); await new Promise((r) => setTimeout(r, 20_000))"),
    brief: write("brief.js", "console.log('begun'); await new Promise((r) => setTimeout(r, 4_000)); return 'ended'"),
    python: write("python.py", "print('from python')\nreturn params"),
    unknown: write("unknown.js", "return <<secrets.TOKEM>>"),
    key: write("api.key", `${key}\n`),
    schema: write("schema.json", '{"type":"object"}'),
  };
}, 120_000);
afterAll(async () => {
  await api.close();
  await service.close();
});

const ways = {
  "the database": () => ({
    more: [] as string[],
    env: { STEPVAULT_DATA_DIR: service.folder } as Record<string, string>,
  }),
  "the API": () => ({ more: ["--url", api.address], env: { STEPVAULT_KEY_FILE: files.key } as Record<string, string> }),
};

describe.each(Object.entries(ways))("by %s", (_way, wayOf) => {
  const shown: Ended[] = [];
  const call = async (...args: string[]): Promise<Ended> => {
    const { more, env } = wayOf();
    const ended = await stepvault([...args, "--project", service.projectId, ...more], { env });
    shown.push(ended);
    return ended;
  };

  test("a run is submitted and waited for: its output on stdout, its log on stderr, its fault in the exit code", async () => {
    const [good, bad, sent] = await Promise.all([
      call("runs", "submit", files.good, "--param", "n=3", "--follow"),
      call("runs", "submit", files.bad, "--wait", "--json"),
      call("runs", "submit", files.python, "--label", "kind=sent", "--param", "n=1"),
    ]);
    expect([good.code, JSON.parse(good.stdout)]).toEqual([0, { got: 3, token: "[REDACTED:TOKEN]" }]);
    expect(good.stderr).toMatch(/info\s+\[REDACTED:TOKEN\]\n/);
    expect([bad.code, JSON.parse(bad.stdout)]).toMatchObject([
      1,
      { status: "failed", error: { code: "ERR_STEP_THREW" } },
    ]);
    const runId = sent.stdout.trim();
    expect(sent).toEqual({ code: 0, stdout: `${runId}\n`, stderr: "" });

    const logs = await call("runs", "logs", runId, "--follow");
    expect([logs.code, logs.stderr]).toEqual([0, ""]);
    expect(logs.stdout).toMatch(/stdout\s+from python\n/);
    const [events, show, output, list] = await Promise.all([
      call("runs", "logs", runId, "--json"),
      call("runs", "show", runId, "--json"),
      call("runs", "output", runId),
      call("runs", "list", "--label", "kind=sent", "--status", "succeeded", "--json", "--limit", "1"),
    ]);
    expect(objectsOf(events).map(({ seq }) => seq)).toEqual(
      objectsOf(events).map((_, place) => place + Number(objectsOf(events)[0]!["seq"])),
    );
    expect(objectsOf(events).at(-1)).toMatchObject({ kind: "finished", status: "succeeded" });
    expect(objectsOf(show)).toMatchObject([{ id: runId, status: "succeeded", labels: { kind: "sent" } }]);
    expect(JSON.parse(output.stdout)).toEqual({ n: 1 });
    expect(objectsOf(list)).toMatchObject([{ id: runId }]);
  }, 180_000);

  test("a run is cancelled, which ends whoever follows it", async () => {
    const runId = (await call("runs", "submit", files.slow)).stdout.trim();
    const following = call("runs", "logs", runId, "-f");
    const cancelled = await call("runs", "cancel", runId);
    expect([cancelled.code, cancelled.stdout, cancelled.stderr]).toEqual([0, "", "it is asked to end\n"]);
    expect((await following).code).toBe(1);
    expect((await call("runs", "show", runId)).stdout).toMatch(/^status +cancelled$/m);
    expect((await call("runs", "show", "0199c0de-0000-7000-8000-000000000000")).stderr).toContain(
      "error[ERR_RUN_UNKNOWN]",
    );
  }, 180_000);

  test("a step is checked, pushed, published, tested and shown", async () => {
    const [unknown, fine] = await Promise.all([
      call("steps", "check", files.unknown),
      call("steps", "check", files.good, "--json"),
    ]);
    expect([unknown.code, unknown.stdout]).toEqual([1, expect.stringMatching(/TOKEM\s+1\s+ERR_SECRET_UNKNOWN/)]);
    expect([fine.code, objectsOf(fine)]).toMatchObject([0, [{ references: 1, failures: [] }]]);
    expect((await call("steps", "push", files.unknown, "--checked")).stderr).toContain("error[ERR_STEP_REFERENCES]");
    const pushed = await call(
      "steps",
      "push",
      files.python,
      "--name",
      "Echo",
      "--description",
      "gives back",
      "--params-schema",
      files.schema,
      "--limit",
      "wallTimeMsMax=9000",
    );
    expect(pushed).toMatchObject({ code: 0, stderr: "version 1\n" });
    const id = pushed.stdout.trim();
    const again = await call("steps", "push", files.good, "--id", id, "--publish", "--network", "none", "--json");
    expect(objectsOf(again)).toEqual([{ id, version: 2, published: true }]);
    expect((await call("steps", "publish", id, "1")).stderr).toBe("version 1 is published\n");
    const [list, code, version, tested, saved] = await Promise.all([
      call("steps", "list", "--published", "--json"),
      call("steps", "show", id, "--version", "1"),
      call("steps", "show", id, "--version", "1", "--json"),
      call("steps", "test", id, "--param", "n=7"),
      call("runs", "submit", "--step", id, "--param", "n=8", "--wait"),
    ]);
    expect(objectsOf(list)).toContainEqual(expect.objectContaining({ id, version: 2, publishedVersion: 1 }));
    expect(code.stdout).toBe("print('from python')\nreturn params");
    expect(objectsOf(version)).toMatchObject([
      { description: "gives back", paramsSchema: { type: "object" }, limits: { wallTimeMsMax: 9_000 } },
    ]);
    expect(JSON.parse(tested.stdout)).toEqual({ got: 7, token: "[REDACTED:TOKEN]" });
    expect(JSON.parse(saved.stdout)).toEqual({ n: 8 });

    const made = await call(
      "schedules",
      "create",
      "Nightly",
      "--cron",
      "0 3 * * *",
      "--time-zone",
      "Europe/Zurich",
      "--step",
      id,
    );
    expect(made).toMatchObject({ code: 0, stderr: expect.stringMatching(/^next: \d{4}-/) });
    const schedule = made.stdout.trim();
    expect((await call("schedules", "disable", schedule)).stderr).toBe("it is off\n");
    expect(objectsOf(await call("schedules", "list", "--json"))).toMatchObject([
      { id: schedule, enabled: false, timeZone: "Europe/Zurich" },
    ]);
    expect((await call("schedules", "enable", schedule)).stderr).toMatch(/^next: /);
    expect(objectsOf(await call("schedules", "delete", schedule, "--json"))).toEqual([{ id: schedule, deleted: true }]);
    expect(objectsOf(await call("schedules", "list", "--json"))).toEqual([]);
  }, 240_000);

  test("a step's next version keeps all but the code that is not given anew", async () => {
    const about = ["--name", "Named", "--description", "what it does", "--params-schema", files.schema];
    about.push("--network", "GET api.example.com", "--limit", "wallTimeMsMax=5000");
    const id = (await call("steps", "push", files.python, ...about)).stdout.trim();
    const push = async (...more: string[]): Promise<unknown> => {
      const { stdout } = await call("steps", "push", files.good, "--id", id, "--json", ...more);
      const { version } = JSON.parse(stdout) as { version: number };
      return objectsOf(await call("steps", "show", id, "--version", String(version), "--json"))[0];
    };
    const first = {
      name: "Named",
      description: "what it does",
      paramsSchema: { type: "object" },
      network: ["GET api.example.com"],
      limits: { wallTimeMsMax: 5_000 },
    };
    expect(await push()).toMatchObject({ ...first, version: 2, language: "javascript" });
    expect(await push("--description", "other")).toMatchObject({ ...first, version: 3, description: "other" });
    const whole = await push("--network", "none", "--limit", "wallTimeMsMax=6000");
    expect(whole).toMatchObject({ network: "none", limits: { wallTimeMsMax: 6_000 } });
    expect(
      await push("--network", "GET api.example.com", "--limit", "wallTimeMsMax=5000", "--name", "Renamed"),
    ).toMatchObject({ ...first, name: "Renamed", description: "other" });
    const fresh = (await call("steps", "push", files.good)).stdout.trim();
    expect((await call("steps", "show", fresh)).stdout).toMatch(/^name +good$/m);
  }, 180_000);

  test("a label is shown as text alone, and with --json as it is", async () => {
    const label = "a\u001b]0;title\u0007b\u009bc\u202Ed";
    await call("runs", "submit", files.python, "--label", `kind=${label}`, "--wait");
    const [list, json] = await Promise.all([
      call("runs", "list", "--limit", "1"),
      call("runs", "list", "--limit", "1", "--json"),
    ]);
    expect(list.stdout).toMatch(/ kind=a\]0;titlebcd\n$/);
    expect(objectsOf(json)).toMatchObject([{ labels: { kind: label } }]);
    expect(json.stdout.trimEnd()).not.toMatch(/\p{Cc}/u);
  }, 60_000);

  test("nothing that was printed holds the secret's value or the key", () => {
    expect(shown.length).toBeGreaterThan(20);
    for (const { stdout, stderr } of shown)
      for (const text of [value, key]) expect(stdout + stderr).not.toContain(text);
  });
});

describe("whoever waits for a run", () => {
  test("ends at Ctrl-C with 130 and closes what it opened, and the run goes on", async () => {
    const env = { STEPVAULT_DATA_DIR: service.folder };
    const { child, ended } = start(["runs", "submit", files.slow, "--follow", "--project", service.projectId], env);
    await new Promise<void>((resolve) =>
      child.stderr.on("data", (text: string) => text.includes("begun") && resolve()),
    );
    child.kill("SIGINT");
    const { code, stdout, stderr } = await ended;
    expect([code, stdout]).toEqual([130, ""]);
    const runId = /the run goes on: stepvault runs logs ([0-9a-f-]{36})/.exec(stderr)?.[1];
    expect((await service.service.runs.get(service.projectId, runId!)).status).toBe("running");
    await service.service.cancel(service.projectId, runId!);
    await service.service.result(service.projectId, runId!, 30_000);
  }, 60_000);
});

describe("whoever waits for a run by an API", () => {
  test("bears that the API is away for a while, as in a rolling restart", async () => {
    const proxy = await startProxy(api.address);
    const env = { STEPVAULT_KEY_FILE: files.key };
    const by = ["--project", service.projectId, "--url", proxy.url];
    const runsCount = async () => (await service.service.runs.list(service.projectId, { limit: 100 })).runs.length;
    const [before, submit] = [await runsCount(), ["runs", "submit", files.brief, ...by]];
    const { stdout: runId } = await stepvault(submit, { env });
    const waiting = [
      start([...submit, "--wait"], env),
      start([...submit, "--follow"], env),
      start(["runs", "logs", runId.trim(), "--follow", ...by], env),
    ];
    const begun = waiting.slice(1).map(async ({ child: { stdout, stderr } }) => {
      await Promise.race([once(stdout, "data"), once(stderr, "data")]);
    });
    while ((await runsCount()) < before + 3) await sleep(50);
    await Promise.all([...begun, sleep(500)]);
    proxy.point(undefined);
    proxy.cut();
    await sleep(4_000);
    proxy.point(api.address);
    expect(waiting.map(({ child }) => child.exitCode)).toEqual([null, null, null]);
    const [waited, followed, logged] = await Promise.all(waiting.map(async ({ ended }) => await ended));
    await proxy.close();
    expect(waited).toEqual({ code: 0, stdout: '"ended"\n', stderr: "" });
    expect(followed).toMatchObject({ code: 0, stdout: '"ended"\n', stderr: expect.stringMatching(/begun\n$/) });
    expect(logged).toMatchObject({ code: 0, stdout: expect.stringMatching(/begun\n$/), stderr: "" });
  }, 120_000);

  test("is told the run's id whatever it is that ends the waiting", async () => {
    const wanted = {
      projectId: service.projectId,
      name: "Trigger",
      scopes: ["trigger"] as const,
      expiry: "none" as const,
    };
    const { key: input } = await service.service.vault.keys.createForProject(wanted);
    for (const way of ["--wait", "--follow"]) {
      const args = ["runs", "submit", files.python, way, "--project", service.projectId, "--url", api.address];
      const { code, stdout, stderr } = await stepvault(args, { input });
      expect([code, stdout, stderr]).toEqual([1, "", expect.stringContaining("error[ERR_FORBIDDEN]")]);
      const runId = /^the run goes on: stepvault runs logs ([0-9a-f-]{36}) --follow$/m.exec(stderr)?.[1];
      expect(await service.service.result(service.projectId, runId!)).toMatchObject({ status: "succeeded" });
    }
  }, 60_000);
});

describe("something before the API", () => {
  test.each([403, 404, 429, 502])(
    "that answers with a page of its own and %i is told as such",
    async (status) => {
      const server = createServer((_request, response) => {
        response.writeHead(status, { "content-type": "text/html" }).end("<html><title>Sorry</title></html>");
      });
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const ended = await stepvault(["runs", "list", "--project", service.projectId, "--url", url], { input: key });
      server.close();
      expect([ended.code, ended.stdout]).toEqual([4, ""]);
      const told = `error[ERR_CLIENT_ANSWER]: Cannot GET /v1/projects/${service.projectId}/runs: ${status}; it is no answer of the API`;
      expect(ended.stderr).toContain(told);
      expect(ended.stderr).toContain("hint: Check that the base URL is the API's");
    },
    60_000,
  );
});

describe("a key for the API", () => {
  test("comes on stdin when no file is named, and what is no key is not repeated", async () => {
    const args = ["runs", "list", "--project", service.projectId, "--url", api.address, "--json", "--limit", "1"];
    const good = await stepvault(args, { input: `${key}\n` });
    expect([good.code, objectsOf(good).length, good.stderr]).toEqual([0, 1, ""]);
    const bad = await stepvault(args, { input: "not-a-key-but-something-secret" });
    expect([bad.code, bad.stdout, bad.stderr]).toEqual([1, "", expect.stringContaining("error[ERR_KEY_MALFORMED]")]);
    expect(bad.stderr).not.toContain("something-secret");
    const other = await stepvault(args.with(5, "http://127.0.0.1:1"), { input: key });
    expect([other.code, other.stderr]).toEqual([4, expect.stringContaining("error[ERR_CLIENT_NETWORK]")]);
    expect(other.stderr).not.toContain(key);
  }, 60_000);

  test("is not handed to a deployment as a setting that it does not know", async () => {
    const env = { STEPVAULT_KEY_FILE: files.key, STEPVAULT_DATA_DIR: service.folder };
    expect((await stepvault(["organizations", "list"], { env })).code).toBe(0);
  }, 60_000);
});
