/** Runs over HTTP: a whole service, real keys, real runs. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { type ApiService, eventsOf, openApiService } from "../helpers/api.ts";
import { createProject } from "../helpers/vault.ts";
import { sendBytes } from "./wire.ts";

let stepvault: ApiService;
let runs: string;
beforeAll(async () => {
  stepvault = await openApiService();
  runs = `${stepvault.base}/runs`;
});
afterAll(async () => await stepvault.close());

const javascript = (code: string, more: object = {}): object => ({ step: { language: "javascript", code }, ...more });
const sleeping = (ms: number): object => javascript(`await new Promise((r) => setTimeout(r, ${ms})); return 1`);

async function submit(body: object): Promise<string> {
  const answer = await stepvault.ask(runs, { body });
  expect(answer.status).toBe(202);
  return answer.body.runId as string;
}

describe("submitting", () => {
  test("answers at once with 202, and with 200 and the result when asked to wait", async () => {
    const accepted = await stepvault.ask(runs, { body: javascript("return params.n + 1", { params: { n: 1 } }) });
    expect(accepted).toMatchObject({ status: 202, body: { created: true, result: null } });
    const ended = await stepvault.ask(`${runs}?wait=20`, {
      body: javascript("return params.n + 1", { params: { n: 1 } }),
    });
    expect(ended).toMatchObject({ status: 200, body: { status: "succeeded", result: { output: 2 } } });
    const slow = await stepvault.ask(`${runs}?wait=1`, { body: sleeping(3_000) });
    expect(slow).toMatchObject({ status: 202, body: { result: null } });
  });

  test("twice with one id, or one idempotency key, is once; something else under it is refused", async () => {
    const runId = createId();
    const body = javascript("return 1", { runId });
    expect((await stepvault.ask(runs, { body })).body).toMatchObject({ runId, created: true });
    expect((await stepvault.ask(runs, { body })).body).toMatchObject({ runId, created: false });
    const other = await stepvault.ask(runs, { body: javascript("return 2", { runId }) });
    expect(other).toMatchObject({ status: 409, body: { code: "ERR_RUN_CONFLICT" } });

    const headers = { "idempotency-key": "once" };
    const asked = async (code: string, key?: string): ReturnType<ApiService["ask"]> =>
      await stepvault.ask(runs, { body: javascript(code), headers, ...(key === undefined ? {} : { key }) });
    const [first, second] = await Promise.all([asked("return 1"), asked("return 1")]);
    expect(first.body.runId).toBe(second.body.runId);
    expect(new Set([first.body.created, second.body.created])).toEqual(new Set([false, true]));
    expect((await asked("return 2")).body.code).toBe("ERR_RUN_CONFLICT");
    // Else somebody else who knows the key's words could take the run's id before.
    const taken = { body: javascript("return 1", { runId: first.body.runId }) };
    expect(await stepvault.ask(runs, taken)).toMatchObject({ status: 400, body: { code: "ERR_REQUEST_INVALID" } });
    expect((await stepvault.ask(runs, taken)).body.errors[0].pointer).toBe("/body/runId");
    const { projectId } = stepvault;
    const job = { projectId, step: { language: "javascript" as const, code: "" }, runId: first.body.runId as string };
    await expect(stepvault.service.submit(job)).rejects.toMatchObject({ code: "ERR_JOB_INVALID" });
    // Another caller's key of the same words is another key.
    expect((await asked("return 1", await stepvault.key(["trigger", "read:runs"]))).body.runId).not.toBe(
      first.body.runId,
    );
  });

  test("a batch runs all of it, in the order of its needs; a wrong one runs nothing", async () => {
    const [a, b] = [createId(), createId()];
    const batch = [javascript("return steps.a * 2", { runId: b, after: { a } }), javascript("return 21", { runId: a })];
    const { status, body } = await stepvault.ask(`${runs}/batch`, { body: { runs: batch } });
    expect([status, body.runs.map((run: { runId: string }) => run.runId)]).toEqual([202, [b, a]]);
    expect((await stepvault.ask(`${runs}/${b}?wait=20`)).body.result).toMatchObject({
      status: "succeeded",
      output: 42,
    });
    const count = async (): Promise<number> =>
      (await stepvault.service.database.query("select from runs")).rowCount ?? 0;
    const before = await count();
    const wrong = await stepvault.ask(`${runs}/batch`, { body: { runs: [javascript("return 1"), { step: {} }] } });
    expect(wrong).toMatchObject({ status: 400, body: { code: "ERR_REQUEST_INVALID" } });
    expect(wrong.body.errors[0].pointer).toMatch(/^\/body\/runs\/1\/step/);
    expect(await count()).toBe(before);
  });

  test("what is wrong is told by its place, and nothing of it is repeated", async () => {
    const answer = await stepvault.ask(runs, {
      body: { step: { language: "ruby-hunter2", code: 7, limits: { wallTimeMsMax: "hunter2" } }, hunter2: 1 },
    });
    expect(answer).toMatchObject({ status: 400, body: { code: "ERR_REQUEST_INVALID" } });
    expect(JSON.stringify(answer.body)).not.toContain("hunter2");
  });
});

describe("looking", () => {
  test("gives a run, its output, and its events so far by pages", async () => {
    const runId = await submit(javascript("for (let i = 0; i < 3; i++) console.log(i); return { a: [1] }"));
    expect((await stepvault.ask(`${runs}/${runId}?wait=20`)).body).toMatchObject({
      id: runId,
      status: "succeeded",
      attempt: 1,
      submittedBy: { kind: "key" },
      result: { output: { a: [1] } },
    });
    expect((await stepvault.ask(`${runs}/${runId}/output`)).body).toEqual({ output: { a: [1] } });
    const first = (await stepvault.ask(`${runs}/${runId}/events?limit=2`)).body;
    expect(first.pagination).toEqual({ after: 1, hasMore: true });
    const rest = (await stepvault.ask(`${runs}/${runId}/events?after=1`)).body;
    expect(rest.pagination.hasMore).toBe(false);
    const kinds = [...first.data, ...rest.data].map(({ kind }) => kind);
    expect(kinds).toEqual(["started", "log", "log", "log", "output", "finished"]);
  });

  test("gives events of many MiB in pages that are bounded, the largest one alone", async () => {
    const code = "for (let i = 0; i < 150; i++) console.log('é'.repeat(8_000)); return 'y'.repeat(1_500_000)";
    const runId = await submit(javascript(code));
    expect((await stepvault.ask(`${runs}/${runId}?wait=20`)).body.status).toBe("succeeded");
    const pages: { seq: number; kind: string }[][] = [];
    for (let query = "", hasMore = true; hasMore;) {
      const { data, pagination } = (await stepvault.ask(`${runs}/${runId}/events${query}`)).body;
      pages.push(data);
      expect(pagination.after).toBe(data.at(-1).seq);
      ({ hasMore } = pagination);
      query = `?after=${pagination.after}`;
    }
    expect(pages.flat().map(({ seq }) => seq)).toEqual(pages.flat().map((_, i) => i));
    expect(pages.map((page) => page.at(-1)!.kind)).toEqual(["log", "log", "log", "output", "finished"]);
    expect(pages[3]).toHaveLength(1);
    const bytes = pages.toSpliced(3, 1).map((page) => Buffer.byteLength(JSON.stringify(page)));
    expect(Math.max(...bytes)).toBeLessThan(1_048_576);
  });

  test("an output that is not there yet is 409, and one that never comes is null", async () => {
    const runId = await submit(sleeping(1_000));
    expect(await stepvault.ask(`${runs}/${runId}/output`)).toMatchObject({
      status: 409,
      body: { code: "ERR_RUN_NOT_ENDED" },
    });
    const failed = await submit(javascript("throw new Error('no')"));
    await stepvault.ask(`${runs}/${failed}?wait=20`);
    expect((await stepvault.ask(`${runs}/${failed}/output`)).body).toEqual({ output: null });
  });

  test("lists runs by filters, page by page, each once", async () => {
    const label = `batch:${createId()}`;
    const labels = { batch: label.slice(6) };
    const batch = Array.from({ length: 7 }, (_, i) =>
      javascript("return 1", { labels: { ...labels, n: String(i % 2) } }),
    );
    const { body } = await stepvault.ask(`${runs}/batch`, { body: { runs: batch } });
    const ids = body.runs.map((run: { runId: string }) => run.runId);
    const seen: string[] = [];
    let cursor = "";
    do {
      const page = (await stepvault.ask(`${runs}?limit=3&label=${label}${cursor}`)).body;
      seen.push(...page.data.map(({ id }: { id: string }) => id));
      cursor = page.pagination.hasMore ? `&cursor=${page.pagination.cursor}` : "";
    } while (cursor !== "");
    expect(seen.toSorted()).toEqual(ids.toSorted());
    const odd = (await stepvault.ask(`${runs}?label=${label}&label=n:1`)).body.data;
    expect(odd).toHaveLength(3);
    expect((await stepvault.ask(`${runs}?label=${label}&stepId=${createId()}`)).body.data).toEqual([]);
    expect((await stepvault.ask(`${runs}?label=${label}&createdAfter=2100-01-01T00:00:00Z`)).body.data).toEqual([]);
    for (const id of ids) await stepvault.ask(`${runs}/${id}?wait=20`);
    expect((await stepvault.ask(`${runs}?label=${label}&status=succeeded&status=failed`)).body.data).toHaveLength(7);
    expect((await stepvault.ask(`${runs}?label=${label}&status=queued`)).body.data).toEqual([]);
    // No run has two values of one label, whichever is named last.
    for (const both of ["label=n:0&label=n:1", "label=n:1&label=n:0"])
      expect((await stepvault.ask(`${runs}?label=${label}&${both}`)).body.data).toEqual([]);
    expect((await stepvault.ask(`${runs}?label=${label}&label=n:1&label=n:1`)).body.data).toHaveLength(3);
  });

  test("takes no cursor that a list of runs would not give", async () => {
    const id = createId();
    const times = ["garbage", "", "2020-13-01", "999999-01-01", "\ud800", "now", "epoch", "infinity", "2020-01-01"];
    const keys = [...times, -1, 0.5, 2 ** 53, null].map((time) => [time, id]);
    for (const key of [...keys, [1], [1, "x"], [1, id, 1]]) {
      const cursor = Buffer.from(JSON.stringify(key)).toString("base64url");
      const { status, body } = await stepvault.ask(`${runs}?cursor=${cursor}`);
      expect([key, status, body.code]).toEqual([key, 400, "ERR_CURSOR_INVALID"]);
    }
    const latest = Buffer.from(JSON.stringify([Number.MAX_SAFE_INTEGER, id])).toString("base64url");
    expect((await stepvault.ask(`${runs}?cursor=${latest}`)).status).toBe(200);
  });

  test("gives each of the runs of one millisecond once, by pages of one", async () => {
    const labels = { same: createId() };
    const batch = Array.from({ length: 3 }, () => javascript("return 1", { labels }));
    const { body } = await stepvault.ask(`${runs}/batch`, { body: { runs: batch } });
    const ids: string[] = body.runs.map((run: { runId: string }) => run.runId);
    for (const [i, id] of ids.entries())
      await stepvault.service.database.query(
        "update runs set created_at = timestamptz '2026-01-01 00:00:00.123Z' + $2 * interval '1 microsecond' where id = $1",
        [id, i],
      );
    const seen: string[] = [];
    for (let cursor: string | undefined = ""; cursor !== undefined;) {
      const query = `?limit=1&label=same:${labels.same}${cursor && `&cursor=${cursor}`}`;
      const page: { data: { id: string }[]; pagination: { cursor?: string } } = (await stepvault.ask(runs + query))
        .body;
      seen.push(...page.data.map((run) => run.id));
      cursor = page.pagination.cursor;
    }
    expect(seen).toEqual(ids.toReversed());
  });
});

describe("following", () => {
  for (const [route, type] of [
    ["stream", "text/event-stream"],
    ["ndjson", "application/x-ndjson"],
  ] as const) {
    test(`gives every event as it comes, from where the caller was, and ends with the run (${route})`, async () => {
      const runId = await submit(
        javascript(
          "for (let i = 0; i < 4; i++) { console.log(i); await new Promise((r) => setTimeout(r, 100)) } return 1",
        ),
      );
      const whole = await stepvault.ask(`${runs}/${runId}/events/${route}`);
      expect(whole.headers.get("content-type")).toContain(type);
      const events = eventsOf(whole.body);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i));
      expect(events.at(-1)).toMatchObject({ kind: "finished", status: "succeeded" });
      const later = await stepvault.ask(`${runs}/${runId}/events/${route}?after=0`, {
        headers: { "last-event-id": "2" },
      });
      expect(eventsOf(later.body)).toEqual(events.slice(3));
      const over = await stepvault.ask(`${runs}/${runId}/events/${route}?after=${events.length - 1}`);
      expect([over.status, over.body]).toEqual([204, ""]);
      expect((await stepvault.ask(`${runs}/${runId}/events/${route}?after=x`)).status).toBe(400);
    });
  }
});

describe("cancelling", () => {
  test("ends a run that is under way, and leaves one that has ended as it is", async () => {
    const runId = await submit(sleeping(30_000));
    expect(await stepvault.ask(`${runs}/${runId}/cancel`, { method: "POST" })).toMatchObject({ status: 202 });
    const { body } = await stepvault.ask(`${runs}/${runId}?wait=20`);
    expect(body).toMatchObject({ status: "cancelled", result: { error: { code: "ERR_RUN_CANCELLED" } } });
    const again = await stepvault.ask(`${runs}/${runId}/cancel`, { method: "POST" });
    expect(again).toMatchObject({ status: 202, body: { status: "cancelled" } });
  });
});

describe("whoever asks", () => {
  test("needs the scope for it, and the refusal says which", async () => {
    const [reader, trigger] = [await stepvault.key(["read:runs"]), await stepvault.key(["trigger"])];
    const runId = await submit(javascript("return 1"));
    const refused = await stepvault.ask(runs, { body: javascript("return 1"), key: reader });
    expect(refused).toMatchObject({ status: 403, body: { code: "ERR_FORBIDDEN" } });
    expect(refused.body.detail).toContain("trigger");
    expect((await stepvault.ask(`${runs}/${runId}/cancel`, { method: "POST", key: reader })).status).toBe(403);
    for (const path of ["", `/${runId}`, `/${runId}/output`, `/${runId}/events`, `/${runId}/events/stream`])
      expect((await stepvault.ask(`${runs}${path}`, { key: trigger })).status).toBe(403);
    expect((await stepvault.ask(runs, { key: "" })).status).toBe(401);
  });

  test("is refused before the body is read", async () => {
    const reader = await stepvault.key(["read:runs"]);
    const { port } = new URL(stepvault.api.address);
    for (const path of [runs, `${runs}/batch`]) {
      const head = [
        "host: x",
        `authorization: Bearer ${reader}`,
        "content-type: application/json",
        "content-length: 9",
      ];
      const answer = await sendBytes(Number(port), `POST ${path} HTTP/1.1\r\n${head.join("\r\n")}\r\n\r\n`);
      expect([answer.status, answer.body]).toEqual([403, expect.stringContaining("ERR_FORBIDDEN")]);
    }
  });

  test("sees nothing of another project: its runs answer as those that do not exist", async () => {
    const { organizationId } = await stepvault.service.vault.tenancy.getProject(stepvault.projectId);
    const other = await createProject(stepvault.service.vault, organizationId, "Other");
    const key = await stepvault.key(["trigger", "read:runs"], other.id);
    const runId = await submit(javascript("return 'theirs'"));
    const at = `/v1/projects/${other.id}/runs`;
    const plain = ({ status, body }: { status: number; body: object }): object => ({
      status,
      body: { ...body, requestId: "", instance: "" },
    });
    for (const path of ["", "/output", "/events", "/events/stream", "/events/ndjson"]) {
      const theirs = await stepvault.ask(`${at}/${runId}${path}`, { key });
      expect(plain(theirs)).toEqual(plain(await stepvault.ask(`${at}/${createId()}${path}`, { key })));
      expect(theirs).toMatchObject({ status: 404, body: { code: "ERR_RUN_UNKNOWN" } });
      expect((await stepvault.ask(`${runs}/${runId}${path}`, { key })).body.code).toBe("ERR_PROJECT_UNKNOWN");
    }
    const taken = await stepvault.ask(at, { body: javascript("return 1", { runId }), key });
    expect(taken).toMatchObject({ status: 404, body: { code: "ERR_PROJECT_UNKNOWN" } });
    const needing = await stepvault.ask(at, { body: javascript("return steps.x", { after: { x: runId } }), key });
    expect(needing).toMatchObject({ status: 404, body: { code: "ERR_RUN_UNKNOWN" } });
    expect((await stepvault.ask(`${at}/${runId}/cancel`, { method: "POST", key })).status).toBe(404);
  });

  test("with an embed key starts the published steps of its agent, and sees its own runs only", async () => {
    const { vault } = stepvault.service;
    const { projectId, base } = stepvault;
    const save = async (publish: boolean): Promise<string> => {
      const step = { language: "javascript", code: "return [params, labels === undefined]" };
      const body = { name: "A tool", step: { ...step, code: "return params" }, publish };
      return (await stepvault.ask(`${base}/steps`, { body })).body.id as string;
    };
    const [tool, draft, foreign] = [await save(true), await save(false), await save(true)];
    const agent = await vault.agents.create({
      projectId,
      kind: "agent",
      name: "A",
      public: true,
      stepIds: [tool, draft],
    });
    const embed = async (): Promise<{ key: string; prefix: string; id: string }> => {
      const { key, metadata } = await vault.embedKeys.create({ projectId, agentId: agent.id });
      return { key, prefix: metadata.conversationPrefix, id: metadata.id };
    };
    const [mine, others] = [await embed(), await embed()];
    const start = async (step: object, more: object = {}): ReturnType<ApiService["ask"]> =>
      await stepvault.ask(`${runs}?wait=20`, {
        body: { step, params: { a: "<<secrets.x>>" }, ...more },
        key: mine.key,
      });
    const { status, body } = await start({ id: tool });
    expect([status, body.result?.output]).toEqual([200, { a: "<<secrets.x>>" }]);
    const { labels, submittedBy } = (await stepvault.ask(`${runs}/${body.runId}`, { key: mine.key })).body;
    expect(labels).toMatchObject({ agentId: agent.id });
    expect(labels.conversationId.startsWith(mine.prefix)).toBe(true);
    expect(submittedBy).toEqual({ kind: "key", id: mine.id });
    const claimed = { agentId: createId(), workforceId: createId(), scheduleId: createId(), test: "true", page: "1" };
    const { runId } = (await start({ id: tool }, { labels: claimed })).body;
    const { conversationId } = labels;
    expect((await stepvault.ask(`${runs}/${runId}`)).body.labels).toEqual({
      agentId: agent.id,
      conversationId,
      page: "1",
    });
    // Neither code of its own, nor a draft, a chosen version, another agent's step or somebody else's conversation.
    for (const [step, more] of [
      [{ language: "javascript", code: "return 1" }, {}],
      [{ id: draft }, {}],
      [{ id: tool, version: 1 }, {}],
      [{ id: foreign }, {}],
      [{ id: tool }, { labels: { conversationId: `${others.prefix}x` } }],
    ] as const)
      expect((await start(step, more)).body.code).toBe("ERR_FORBIDDEN");
    const batch = { body: { runs: [{ step: { id: tool } }] }, key: mine.key };
    expect((await stepvault.ask(`${runs}/batch`, batch)).status).toBe(403);
    for (const path of ["", "/output", "/events", "/events/stream"])
      expect((await stepvault.ask(`${runs}/${body.runId}${path}`, { key: others.key })).body.code).toBe(
        "ERR_RUN_UNKNOWN",
      );
    expect((await stepvault.ask(`${runs}/${body.runId}/cancel`, { method: "POST", key: others.key })).status).toBe(404);
    const list = async (key: string): Promise<number> => (await stepvault.ask(runs, { key })).body.data.length;
    expect([await list(mine.key), await list(others.key)]).toEqual([2, 0]);
    expect((await stepvault.ask(`${base}/steps`, { key: mine.key })).status).toBe(403);
  });
});
