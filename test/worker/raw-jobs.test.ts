/**
 * Jobs that an orchestrator adds by itself, with nothing but BullMQ: each is one run and has its result, whatever ids it names
 * and however often it comes; flows of BullMQ give the outputs of their children. On both backends of the queue.
 */
import { createPostgresBackend, FlowProducer, type PgPool, withBackend } from "bullmq";
import { Redis } from "ioredis";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createId } from "../../protocol/ids.ts";
import { jobResult } from "../helpers/service.ts";
import { createProject } from "../helpers/vault.ts";
import { backends, javascript, openBackend, type OpenedBackend } from "../runs/backends.ts";

type Flow = Parameters<FlowProducer["add"]>[0];

for (const backend of backends) {
  describe(`a job added to the queue directly, on ${backend}`, () => {
    let stepvault: OpenedBackend;
    let otherId: string;
    beforeAll(async () => {
      stepvault = await openBackend(backend);
      const { vault } = stepvault.service;
      const { organizationId } = await vault.tenancy.getProject(stepvault.projectId);
      otherId = (await createProject(vault, organizationId, "Other")).id;
    });
    afterAll(async () => await stepvault?.close());

    const countRuns = async (): Promise<number> =>
      (await stepvault.service.database.query("select from runs")).rowCount ?? -1;
    const add = async (payload: object, jobId = createId()): Promise<string> => {
      await stepvault.service.queue.addRaw(jobId, payload);
      return jobId;
    };
    const result = async (jobId: string) => await jobResult(stepvault.service.queue, jobId);
    const own = (code: string, more: object = {}) => ({
      projectId: stepvault.projectId,
      step: javascript(code),
      ...more,
    });

    test(`is a run with an id of its own, and its result is the job's (${backend})`, async () => {
      const told = await result(
        await add(own("console.log('seen'); return params", { params: { text: "NUL \0 \ud800" } })),
      );
      expect(told).toMatchObject({ status: "succeeded", output: { text: "NUL \0 \ud800" } });
      expect((await stepvault.events(told.runId)).map(({ kind }) => kind)).toEqual([
        "started",
        "log",
        "output",
        "finished",
      ]);
    });

    test(`that comes a second time is the same run, which runs once (${backend})`, async () => {
      const runId = createId();
      const payload = own("await new Promise((r) => setTimeout(r, 300)); return Math.random()", { runId });
      const jobs = await Promise.all([1, 2, 3].map(async () => await add(payload)));
      const results = await Promise.all(jobs.map(result));
      expect(new Set(results.map(({ output }) => output)).size).toBe(1);
      expect(await result(await add(payload))).toEqual(results[0]);
      expect((await stepvault.events(runId)).map(({ kind }) => kind)).toEqual(["started", "output", "finished"]);
    });

    test(`under the id of another request is told so, and changes nothing of that run (${backend})`, async () => {
      const runId = await stepvault.service.submit(own("return 'first'"));
      const told = await result(await add(own("return 'second'", { runId })));
      expect(told).toMatchObject({ status: "rejected", error: { code: "ERR_RUN_CONFLICT" } });
      expect(await stepvault.service.result(stepvault.projectId, runId)).toMatchObject({ output: "first" });
    });

    test(`under the id of another project's run learns nothing of it (${backend})`, async () => {
      const { runId } = await stepvault.run({ step: javascript("return 'theirs'") });
      for (const payload of [
        { ...own("return 1", { runId }), projectId: otherId },
        { projectId: otherId, runId },
      ]) {
        const told = await result(await add(payload));
        expect(told.status).toBe("rejected");
        expect(JSON.stringify(told)).not.toContain("theirs");
      }
      expect(await stepvault.events(runId)).toHaveLength(3);
    });

    test.each([
      ["a run that there is not", () => ({ projectId: stepvault.projectId, runId: createId() }), "ERR_RUN_UNKNOWN"],
      ["a run of no project", () => ({ projectId: createId(), runId: createId() }), "ERR_RUN_UNKNOWN"],
      ["nothing", () => ({}), "ERR_JOB_INVALID"],
      ["a list", () => [1, 2], "ERR_JOB_INVALID"],
      ["another encoding", () => ({ encoding: "base64-json", text: "!!!" }), "ERR_JOB_INVALID"],
      ["an encoded text", () => ({ encoding: "base64-json", text: "InNrLXZhbHVlIg==" }), "ERR_JOB_INVALID"],
      ["ids that are none", () => ({ projectId: "sk-value", runId: "../../x" }), "ERR_JOB_INVALID"],
    ])(`of garbage, %s, is rejected and records no run (${backend})`, async (_, payload, code) => {
      const before = await countRuns();
      const told = await result(await add(payload()));
      expect(told).toMatchObject({ status: "rejected", error: { code } });
      expect(JSON.stringify(told)).not.toContain("sk-value");
      expect(await countRuns()).toBe(before);
    });

    test(`names the runs that it needs, and waits for its time (${backend})`, async () => {
      const needed = await stepvault.service.submit(own("await new Promise((r) => setTimeout(r, 500)); return 20"));
      const told = await result(await add(own("return steps.n + 1", { after: { n: needed }, delayMs: 300 })));
      expect(told).toMatchObject({ status: "succeeded", output: 21 });
    });

    test(`is cancelled with its run, and the job ends soon (${backend})`, async () => {
      const runId = createId();
      const jobId = await add(own("return 1", { runId, delayMs: 3_600_000 }));
      await expect
        .poll(async () => await stepvault.service.cancel(stepvault.projectId, runId).catch(() => false))
        .toBe(true);
      expect(await result(jobId)).toMatchObject({ status: "cancelled" });
    });

    test(`waits where its project has no room, and so do twenty of its kind, and all run (${backend})`, async () => {
      const { database } = stepvault.service;
      await database.query("update projects set runs_at_once_max = 2 where id = $1", [otherId]);
      const code = "await new Promise((r) => setTimeout(r, 50)); return 1";
      const jobs = await Promise.all(
        Array.from({ length: 20 }, async () => await add({ projectId: otherId, step: javascript(code) })),
      );
      let most = 0;
      const over = new AbortController();
      const watching = (async () => {
        for (let looks = 0; !over.signal.aborted && looks < 2_000; looks += 1) {
          const { rows } = await database.query<{ n: number }>(
            `select count(*)::int as n from runs
             where project_id = $1 and (status = 'running' or (status = 'queued' and dispatched_at is not null))`,
            [otherId],
          );
          most = Math.max(most, rows[0]!.n);
          await new Promise((resolve) => setTimeout(resolve, 15));
        }
      })();
      const results = await Promise.all(jobs.map(result));
      over.abort();
      await watching;
      expect(results.map(({ status }) => status)).toEqual(jobs.map(() => "succeeded"));
      expect(most).toBe(2);
      await database.query("update projects set runs_at_once_max = null where id = $1", [otherId]);
    });

    /** Adds a flow as an orchestrator does, with BullMQ's own class. */
    async function addFlow(flow: Flow): Promise<void> {
      const { service, redis } = stepvault;
      if (redis === undefined) {
        const pool = service.database.createPool({ schema: "bullmq", connectionsMax: 2 });
        const postgres = withBackend(createPostgresBackend);
        const producer = new postgres.FlowProducer({
          connection: pool as unknown as PgPool,
        }) as unknown as FlowProducer;
        await producer.add(flow);
        await producer.close();
        await pool.end();
      } else {
        const connection = new Redis(redis.url, { maxRetriesPerRequest: null });
        const producer = new FlowProducer({ connection });
        await producer.add(flow);
        await producer.close();
        connection.disconnect();
      }
    }
    const node = (code: string, more: object = {}, children: Flow[] = []): Flow => ({
      name: "step",
      queueName: stepvault.service.queue.name,
      data: own(code, more),
      opts: { jobId: createId() },
      ...(children.length === 0 ? {} : { children }),
    });

    test(`above others in a flow finds their outputs under their names (${backend})`, async () => {
      const flow = node("return [steps.a, steps.b, Object.keys(steps).sort()]", { steps: { c: 3 } }, [
        node("return 1", { name: "a" }),
        node("return steps.deep + 1", { name: "b" }, [node("return 40", { name: "deep" }), node("return 'unnamed'")]),
      ]);
      await addFlow(flow);
      expect(await result(flow.opts!.jobId!)).toMatchObject({
        status: "succeeded",
        output: [1, 41, ["a", "b", "c"]],
      });
    });

    test(`above one that fails in a flow is rejected, with its run (${backend})`, async () => {
      const runId = createId();
      const flow = node("return 1", { runId }, [node("throw new Error('sk-in-message')", { name: "bad" })]);
      await addFlow(flow);
      const told = await result(flow.opts!.jobId!);
      expect(told).toMatchObject({ status: "rejected", error: { code: "ERR_NEED_FAILED" } });
      expect(JSON.stringify(told)).not.toContain("sk-in-message");
      expect(await stepvault.service.runs.get(stepvault.projectId, runId)).toMatchObject({ status: "rejected" });
    });
  });
}
