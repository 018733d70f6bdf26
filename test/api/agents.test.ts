/** Agents and workforces over HTTP: made of the project's own steps, by who may change steps. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { absentId, type Answer, type Callers, expectAlike, expectForbidden, openCallers } from "./callers.ts";

let callers: Callers;
let path: string;
beforeAll(async () => {
  callers = await openCallers();
  path = `/v1/projects/${callers.projectId}/agents`;
});
afterAll(async () => await callers.close());

const post = async (body: unknown, as = "person builder", again?: string): Promise<Answer> =>
  await callers.call("POST", path, {
    as,
    body,
    ...(again === undefined ? {} : { headers: { "idempotency-key": again } }),
  });

describe("agents over HTTP", () => {
  test("a builder makes one, private and without steps unless they say otherwise, changes and deletes it", async () => {
    const made = await post({ kind: "agent", name: "Shop" });
    expect([made.status, made.body]).toEqual([
      201,
      {
        id: made.body.id,
        projectId: callers.projectId,
        kind: "agent",
        name: "Shop",
        public: false,
        stepIds: [],
        createdAt: made.body.createdAt,
      },
    ]);
    const at = made.headers.get("location")!;
    expect((await callers.call("GET", at, { as: "person viewer" })).body).toEqual(made.body);
    const stepIds = [await callers.addStep()];
    const changed = await callers.call("PATCH", at, { as: "person builder", body: { public: true, stepIds } });
    expect(changed.body).toEqual({ ...made.body, public: true, stepIds });
    const renamed = await callers.call("PATCH", at, { as: "person builder", body: { name: "Shop 2" } });
    expect(renamed.body).toEqual({ ...made.body, name: "Shop 2", public: true, stepIds });
    expect((await callers.call("DELETE", at, { as: "person builder" })).status).toBe(204);
    expect((await callers.call("GET", at)).body.code).toBe("ERR_AGENT_UNKNOWN");
  });

  test("are listed with workforces, or by kind", async () => {
    await post({ kind: "agent", name: "A" });
    const workforce = await post({ kind: "workforce", name: "W" });
    const all = await callers.call("GET", path, { as: "person viewer" });
    expect(new Set((all.body.data as { kind: string }[]).map(({ kind }) => kind))).toEqual(
      new Set(["agent", "workforce"]),
    );
    const some = await callers.call("GET", `${path}?kind=workforce`, { as: "person viewer" });
    expect(some.body.data).toEqual([workforce.body]);
  });

  test("take no step of another project, and none that is not there", async () => {
    const { rows } = await callers.temporary.database.query<{ id: string }>(
      `insert into steps (id, version, project_id, name, language, code)
       values (gen_random_uuid(), 1, $1, 'theirs', 'javascript', '') returning id`,
      [callers.otherProjectId],
    );
    const refused: unknown[] = [];
    for (const id of [rows[0]!.id, absentId]) {
      const { status, body } = await post({ kind: "agent", name: "A", stepIds: [id] });
      refused.push([status, body.code, body.detail]);
    }
    expect(refused[0]).toEqual([400, "ERR_AGENT_INVALID", expect.stringContaining("0 of its 1 steps") as string]);
    expect(refused[1]).toEqual(refused[0]);
  });

  test("are changed by builders and keys with the scope admin, and by nobody who only reads or triggers", async () => {
    const { body } = await post({ kind: "agent", name: "A" }, await callers.keyWith("admin"));
    const at = `${path}/${body.id}`;
    const others = ["person member", "person viewer", await callers.keyWith("trigger", "read:runs", "manage:secrets")];
    await expectForbidden(others, async (as) => await post({ kind: "agent", name: "A" }, as));
    await expectForbidden(others, async (as) => await callers.call("PATCH", at, { as, body: { public: true } }));
    await expectForbidden(others, async (as) => await callers.call("DELETE", at, { as }));
    expect((await callers.call("GET", at)).body).toEqual(body);
  });

  test("of another project, and one that is not there, answer alike", async () => {
    const { id } = await callers.vault.agents.create({
      projectId: callers.otherProjectId,
      kind: "agent",
      name: "Theirs",
      public: true,
      stepIds: [],
    });
    for (const method of ["GET", "DELETE"])
      await expectAlike([id, absentId], async (one) => await callers.call(method, `${path}/${one}`));
    await expectAlike(
      [id, absentId],
      async (one) => await callers.call("PATCH", `${path}/${one}`, { body: { public: false } }),
    );
    await expectAlike(
      [callers.otherProjectId, absentId],
      async (one) => await callers.call("GET", `/v1/projects/${one}/agents`, { as: "person builder" }),
    );
  });

  test("a wrong one is refused by pointer", async () => {
    const { status, body } = await post({ kind: "robot", name: "", stepIds: ["x"], public: "yes" });
    expect(status).toBe(400);
    expect((body.errors as { pointer: string }[]).map(({ pointer }) => pointer).sort()).toEqual([
      "/body/kind",
      "/body/name",
      "/body/public",
      "/body/stepIds/0",
    ]);
    expect((await callers.call("PATCH", `${path}/${absentId}`, { body: {} })).body.errors[0].detail).toBe(
      "must be given at least one field",
    );
  });

  test("one is made once, however often the request is sent with its Idempotency-Key", async () => {
    const answers = await Promise.all(
      Array.from({ length: 5 }, async () => await post({ kind: "agent", name: "Once" }, "person builder", "agent-1")),
    );
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 409, 409, 409, 409]);
    const { body } = await callers.call("GET", path);
    expect((body.data as { name: string }[]).filter(({ name }) => name === "Once").length).toBe(1);
  });
});
