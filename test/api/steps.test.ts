/** Saved steps and schedules over HTTP: a whole service, real keys. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { submitDue } from "../../runs/schedules.ts";
import { type ApiService, openApiService } from "../helpers/api.ts";
import { setSecret } from "../helpers/vault.ts";

let stepvault: ApiService;
let steps: string;
let schedules: string;
beforeAll(async () => {
  stepvault = await openApiService();
  steps = `${stepvault.base}/steps`;
  schedules = `${stepvault.base}/schedules`;
  await setSecret(stepvault.service.vault, stepvault.projectId, "present", "value-of-present");
});
afterAll(async () => await stepvault.close());

const javascript = (code: string, more: object = {}): object => ({ language: "javascript", code, ...more });
const save = async (code: string, more: object = {}, path = steps): ReturnType<ApiService["ask"]> =>
  await stepvault.ask(path, { body: { name: "Count", step: javascript(code), ...more } });
const runOf = async (step: object): Promise<unknown> =>
  (await stepvault.ask(`${stepvault.base}/runs?wait=20`, { body: { step } })).body.result?.output;

describe("a step", () => {
  test("has versions that stay as they were, and runs as its published one", async () => {
    const first = await save("return 'one'", {
      description: "Counts",
      paramsSchema: { type: "object", properties: { text: { type: "string" } } },
    });
    expect(first).toMatchObject({ status: 201, body: { version: 1 } });
    const { id } = first.body;
    expect((await save("return 'two'", {}, `${steps}/${id}/versions`)).body).toEqual({ id, version: 2 });
    expect((await stepvault.ask(`${steps}/${id}`)).body).toMatchObject({ id, version: 2, publishedVersion: null });
    expect(await runOf({ id })).toBe("two");
    const publish = async (version: number | null): ReturnType<ApiService["ask"]> =>
      await stepvault.ask(`${steps}/${id}/published`, { method: "PUT", body: { version } });
    expect((await publish(1)).body).toMatchObject({ version: 2, publishedVersion: 1 });
    expect([await runOf({ id }), await runOf({ id, version: 2 })]).toEqual(["one", "two"]);
    expect((await publish(3)).body.code).toBe("ERR_STEP_UNKNOWN");
    const versions = (await stepvault.ask(`${steps}/${id}/versions?limit=1`)).body;
    expect(versions.data[0]).toMatchObject({ version: 2, code: "return 'two'", createdBy: { kind: "key" } });
    const older = (await stepvault.ask(`${steps}/${id}/versions?cursor=${versions.pagination.cursor}`)).body;
    expect(older.data).toMatchObject([{ version: 1, description: "Counts", paramsSchema: { type: "object" } }]);
    expect((await stepvault.ask(`${steps}/${id}/versions/1`)).body).toEqual(older.data[0]);
    const tooLate = Buffer.from(JSON.stringify([2 ** 31])).toString("base64url");
    expect((await stepvault.ask(`${steps}/${id}/versions?cursor=${tooLate}`)).body.code).toBe("ERR_CURSOR_INVALID");
    expect((await publish(null)).body.publishedVersion).toBeNull();
    expect(await runOf({ id })).toBe("two");
  });

  test("is tested as its newest version, published or not, by who may change it", async () => {
    const { id } = (await save("return 'published'", { publish: true })).body;
    await save("return 'draft ' + params.n", {}, `${steps}/${id}/versions`);
    const path = `${steps}/${id}/test?wait=20`;
    const tested = await stepvault.ask(path, { body: { params: { n: 1 } } });
    expect(tested).toMatchObject({ status: 200, body: { result: { output: "draft 1" } } });
    expect((await stepvault.ask(path, { body: { version: 1 } })).body.result.output).toBe("published");
    const run = (await stepvault.ask(`${stepvault.base}/runs/${tested.body.runId}`)).body;
    expect(run.labels).toEqual({ test: "true" });
    const again = async (n: number): ReturnType<ApiService["ask"]> =>
      await stepvault.ask(path, { body: { params: { n } }, headers: { "idempotency-key": "test" } });
    const once = (await again(2)).body;
    expect((await again(2)).body).toEqual({ ...once, created: false });
    expect((await again(3)).body.code).toBe("ERR_RUN_CONFLICT");
    const key = await stepvault.key(["trigger", "read:runs"]);
    expect((await stepvault.ask(path, { body: {}, key })).body.code).toBe("ERR_FORBIDDEN");
  });

  test("is listed page by page, all or the published ones", async () => {
    const published: string[] = [];
    for (let i = 0; i < 3; i++) published.push((await save("return 1", { publish: true })).body.id);
    const { id: draft } = (await save("return 1")).body;
    const list = async (query: string): Promise<string[]> => {
      const ids: string[] = [];
      for (let cursor: string | undefined = ""; cursor !== undefined;) {
        const page: { data: { id: string }[]; pagination: { cursor?: string } } = (
          await stepvault.ask(`${steps}?limit=2${query}${cursor && `&cursor=${cursor}`}`)
        ).body;
        ids.push(...page.data.map((step) => step.id));
        cursor = page.pagination.cursor;
      }
      return ids;
    };
    const all = await list("");
    expect(all).toEqual(expect.arrayContaining([...published, draft]));
    expect(new Set(all).size).toBe(all.length);
    expect(await list("&published=true")).toEqual(expect.arrayContaining(published));
    expect(await list("&published=true")).not.toContain(draft);
    expect(await list("&published=false")).toContain(draft);
  });

  test("is checked before it is saved: which references fail, where and why; no value is told", async () => {
    const code = 'const a = "<<secrets.present>>";\nreturn "<<secrets.absent>>";';
    const checked = await stepvault.ask(`${steps}/check`, { body: { step: javascript(code) } });
    expect(checked).toMatchObject({
      status: 200,
      body: { references: 2, failures: [{ name: "absent", line: 2, code: "ERR_SECRET_UNKNOWN" }] },
    });
    expect(JSON.stringify(checked.body)).not.toContain("value-of-present");
    expect(await save(code, { checked: true })).toMatchObject({ status: 409, body: { code: "ERR_STEP_REFERENCES" } });
    expect((await save(code)).status).toBe(201);
    const syntax = await stepvault.ask(`${steps}/check`, {
      body: { step: javascript('return ("<<secrets.present>>"') },
    });
    expect(syntax).toMatchObject({ status: 400, body: { code: "ERR_STEP_SYNTAX" } });
  });

  test("is changed by builders, read by readers, and of another project not there", async () => {
    const reader = await stepvault.key(["read:runs"]);
    expect((await stepvault.ask(steps, { key: reader })).status).toBe(200);
    const refused = await stepvault.ask(steps, { body: { name: "x", step: javascript("return 1") }, key: reader });
    expect(refused).toMatchObject({ status: 403, body: { code: "ERR_FORBIDDEN" } });
    const { id } = (await save("return 1")).body;
    const elsewhere = `/v1/projects/${createId()}/steps/${id}`;
    expect((await stepvault.ask(elsewhere)).body.code).toBe("ERR_PROJECT_UNKNOWN");
    expect((await stepvault.ask(`${steps}/${createId()}`)).body.code).toBe("ERR_STEP_UNKNOWN");
    const publish = { method: "PUT", body: { version: 1 }, key: reader };
    expect((await stepvault.ask(`${steps}/${id}/published`, publish)).status).toBe(403);
  });
});

describe("a schedule", () => {
  const input = {
    name: "Often",
    cron: "*/5 * * * *",
    timeZone: "Europe/Zurich",
    job: { step: javascript("return 7") },
  };
  const make = async (more: object = {}): ReturnType<ApiService["ask"]> =>
    await stepvault.ask(schedules, { body: { ...input, ...more } });
  const due = async (id: string): Promise<void> => {
    await stepvault.service.database.query(
      "update schedules set next_at = date_trunc('minute', now()) - interval '1 hour' where id = $1",
      [id],
    );
  };
  const runsOf = async (id: string): Promise<{ id: string; submittedBy: object }[]> =>
    (await stepvault.ask(`${stepvault.base}/runs?label=scheduleId:${id}`)).body.data;

  test("submits a run when its time has come, once however many look, and makes up for lost times once", async () => {
    const { status, body } = await make({ job: { step: javascript("return params"), params: { n: 1 } } });
    expect(status).toBe(201);
    expect(new Date(body.nextAt).getTime()).toBeGreaterThan(Date.now());
    await due(body.id);
    const { database, queue } = stepvault.service;
    await Promise.all(Array.from({ length: 5 }, async () => await submitDue({ database, queue })));
    const runs = await runsOf(body.id);
    expect(runs).toMatchObject([{ submittedBy: { kind: "schedule", id: body.id } }]);
    const after = (await stepvault.ask(`${schedules}/${body.id}`)).body;
    expect(after).toMatchObject({ lastRunId: runs[0]!.id, lastErrorCode: null });
    expect(new Date(after.nextAt).getTime()).toBeGreaterThan(Date.now());
    const { result } = (await stepvault.ask(`${stepvault.base}/runs/${runs[0]!.id}?wait=20`)).body;
    expect(result.output).toEqual({ n: 1 });
  });

  test("that died between its submission and its next time submits the same run again", async () => {
    const { id } = (await make()).body;
    await due(id);
    const { rows } = await stepvault.service.database.query<{ next_at: Date }>(
      "select next_at from schedules where id = $1",
      [id],
    );
    await expect.poll(async () => await runsOf(id), { timeout: 5_000 }).toHaveLength(1);
    await stepvault.service.database.query("update schedules set next_at = $2 where id = $1", [id, rows[0]!.next_at]);
    await expect
      .poll(async () => new Date((await stepvault.ask(`${schedules}/${id}`)).body.nextAt).getTime(), { timeout: 5_000 })
      .toBeGreaterThan(Date.now());
    expect(await runsOf(id)).toHaveLength(1);
  });

  test("is off while it is not enabled, and gone once it is deleted", async () => {
    const { id } = (await make({ enabled: false })).body;
    await due(id);
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(await runsOf(id)).toEqual([]);
    const changed = await stepvault.ask(`${schedules}/${id}`, { method: "PUT", body: { ...input, name: "Now on" } });
    expect(changed.body).toMatchObject({ name: "Now on", enabled: true });
    expect((await stepvault.ask(schedules)).body.data.map((one: { id: string }) => one.id)).toContain(id);
    expect((await stepvault.ask(`${schedules}/${id}`, { method: "DELETE" })).status).toBe(204);
    expect((await stepvault.ask(`${schedules}/${id}`)).body.code).toBe("ERR_SCHEDULE_UNKNOWN");
  });

  test("says why its last run was refused", async () => {
    const { id } = (await make()).body;
    await stepvault.service.database.query("update projects set runs_per_minute_max = 1 where id = $1", [
      stepvault.projectId,
    ]);
    try {
      await due(id);
      await expect
        .poll(async () => (await stepvault.ask(`${schedules}/${id}`)).body.lastErrorCode, { timeout: 5_000 })
        .toBe("ERR_PROJECT_RATE");
    } finally {
      await stepvault.service.database.query("update projects set runs_per_minute_max = null where id = $1", [
        stepvault.projectId,
      ]);
    }
  });

  for (const [what, wrong] of [
    ["seconds", { cron: "* * * * * *" }],
    ["no cron", { cron: "often" }],
    ["a day that never comes", { cron: "0 0 30 2 *" }],
    ["a time zone that there is not", { timeZone: "Mars/Olympus" }],
    ["the time zone of whatever machine it is", { timeZone: "local" }],
    ["the system's time zone", { timeZone: "system" }],
    ["a default time zone", { timeZone: "default" }],
    ["a time zone that is an offset", { timeZone: "+05:00" }],
    ["a time zone that has an offset", { timeZone: "UTC+5" }],
    ["a minute that is drawn at random", { cron: "H * * * *" }],
    ["an hour that is drawn at random", { cron: "0 H(0-7)/2 * * *" }],
    ["a random part of a list", { cron: "0 0 1 JAN,H *" }],
    ["a random part behind a name", { cron: "0 0 1 JANH *" }],
    ["a random part behind a day", { cron: "0 0 * * THU,H" }],
  ] as const) {
    test(`is refused with ${what}`, async () => {
      expect(await make(wrong)).toMatchObject({ status: 400, body: { code: "ERR_SCHEDULE_INVALID" } });
    });
  }

  test("may name months and days, also the one with an H", async () => {
    const timeZone = "utc";
    for (const cron of ["0 7 * mar THU", "0 7 * * tue,thu", "0 7 1 MAR *"])
      expect([cron, (await make({ cron, timeZone, enabled: false })).status]).toEqual([cron, 201]);
  });

  test("is saved by who may save steps and start runs", async () => {
    const key = await stepvault.key(["trigger", "read:runs"]);
    expect((await stepvault.ask(schedules, { body: input, key })).status).toBe(403);
    expect((await stepvault.ask(schedules, { key })).status).toBe(200);
    const job = { ...input.job, runId: createId() };
    expect((await make({ job })).body.code).toBe("ERR_REQUEST_INVALID");
  });
});

describe("saving again with the same Idempotency-Key", () => {
  const step = { name: "Once", step: javascript("return 1") };
  const schedule = { name: "Once", cron: "0 3 * * *", timeZone: "UTC", job: { step: javascript("return 1") } };
  const post = async (path: string, body: object, { again, key }: { again: string; key?: string }) =>
    await stepvault.ask(path, { body, headers: { "idempotency-key": again }, ...(key === undefined ? {} : { key }) });
  const countIn = async (table: string): Promise<number> => {
    const { rows } = await stepvault.service.database.query<{ count: number }>(
      `select count(*)::int as count from ${table}`,
    );
    return rows[0]!.count;
  };

  describe.each([
    ["step", "steps", async () => await Promise.resolve([steps, step] as const)],
    ["version", "steps", async () => [`${steps}/${(await save("return 0")).body.id}/versions`, step] as const],
    ["schedule", "schedules", async () => await Promise.resolve([schedules, schedule] as const)],
  ])("a %s", (what, table, prepare) => {
    test("makes one, however many are sent at once, and each is told the same", async () => {
      const [path, body] = await prepare();
      const before = await countIn(table);
      const send = async (): ReturnType<typeof post> => await post(path, body, { again: what });
      const answers = await Promise.all(Array.from({ length: 12 }, send));
      answers.push(await send());
      expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 201));
      expect(answers.map((answer) => answer.body)).toEqual(answers.map(() => answers[0]!.body));
      expect(await countIn(table)).toBe(before + 1);
    });

    test("is refused with another request, and another one of somebody else", async () => {
      const [path, body] = await prepare();
      const again = `other-${what}`;
      const mine = await post(path, body, { again });
      const before = await countIn(table);
      const other = await post(path, { ...body, name: "Other" }, { again });
      expect(other).toMatchObject({ status: 409, body: { code: "ERR_IDEMPOTENCY_KEY_USED" } });
      expect(await countIn(table)).toBe(before);
      const key = await stepvault.key(["trigger", "admin", "manage:secrets"]);
      const theirs = await post(path, body, { again, key });
      expect(theirs.status).toBe(201);
      expect([theirs.body.id, theirs.body.version]).not.toEqual([mine.body.id, mine.body.version]);
    });
  });

  test("publishes once: what was published since stays", async () => {
    const { id } = (await save("return 0")).body;
    const send = async (): ReturnType<typeof post> =>
      await post(`${steps}/${id}/versions`, { ...step, publish: true }, { again: "published" });
    const published = async (): Promise<number> => (await stepvault.ask(`${steps}/${id}`)).body.publishedVersion;
    expect((await send()).body.version).toBe(2);
    expect(await published()).toBe(2);
    await stepvault.ask(`${steps}/${id}/published`, { method: "PUT", body: { version: 1 } });
    expect((await send()).body.version).toBe(2);
    expect(await published()).toBe(1);
  });

  test("tells of a checked step that was saved, though it would be refused by now; one that was refused may be saved", async () => {
    const send = async (): ReturnType<typeof post> =>
      await post(steps, { name: "x", step: javascript('return "<<secrets.late>>"'), checked: true }, { again: "late" });
    const place = { place: { projectId: stepvault.projectId }, name: "late" };
    expect((await send()).body.code).toBe("ERR_STEP_REFERENCES");
    await setSecret(stepvault.service.vault, stepvault.projectId, "late", "value-of-late");
    const saved = await send();
    expect(saved.status).toBe(201);
    await stepvault.service.vault.secrets.delete(place);
    expect(await send()).toMatchObject({ status: 201, body: saved.body });
  });

  test("gives the schedule that was made as it is by now, and one that is gone is not made anew", async () => {
    const send = async (): ReturnType<typeof post> => await post(schedules, schedule, { again: "changed" });
    const { id } = (await send()).body;
    await stepvault.ask(`${schedules}/${id}`, { method: "PUT", body: { ...schedule, name: "Changed" } });
    expect(await send()).toMatchObject({ status: 201, body: { id, name: "Changed" } });
    await stepvault.ask(`${schedules}/${id}`, { method: "DELETE" });
    expect((await send()).body.code).toBe("ERR_SCHEDULE_UNKNOWN");
  });
});
