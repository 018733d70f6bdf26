/**
 * What fuzzers send: requests at random to every operation of the OpenAPI document, over a socket to a real server with a
 * real service behind it, and bytes that are hardly requests. Never a 5xx, never an answer that is not as documented, and the server
 * goes on.
 */
import { request as httpRequest } from "node:http";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openApiDocument } from "../../api/openapi.ts";
import { apiRoutes } from "../../api/routes.ts";
import { openTestService, type TestService } from "../helpers/service.ts";
import { startApi, type TestApi } from "./api.ts";
import { faultsOf, operationsOf } from "./operations.ts";
import { type KnownValues, nastyTexts, type RandomRequest, requestTo } from "./requests.ts";
import { sendBytes } from "./wire.ts";

const runsPerOperation = Number(process.env["FUZZ_RUNS"] ?? 60);
const answerMsMax = 5_000;

/** Some requests wait for runs that are far away. */
const waitMsMax = 1_500;
const mayWait = /[?&]wait=|\/events\//;

let whole: TestService;
let api: TestApi;
let known: KnownValues;
beforeAll(async () => {
  whole = await openTestService({ STEPVAULT_API_PORT: "0" }, { search: { ignore: nastyTexts } });
  const { service, projectId } = whole;
  const { vault, database, runs, steps, schedules } = service;
  const { organizationId } = await vault.tenancy.getProject(projectId);
  await vault.tenancy.setOrganizationMember({ organizationId, personId: "ann", name: "Ann", role: "owner" });
  for (const place of [{ projectId }, { organizationId }])
    await vault.secrets.set({ place, name: "FUZZED", value: "fuzzed-at-first" });
  const step = { language: "javascript", code: "return 1" } as const;
  const saved = await steps.save({ projectId, name: "Fuzzed", step });
  const { runId } = await runs.submit({ projectId, step });
  const input = { name: "Fuzzed", cron: "0 0 1 1 *", timeZone: "UTC", job: { projectId, step }, enabled: true };
  const schedule = await schedules.create(projectId, { input, by: { kind: "person", id: "ann" } });
  known = {
    organizationId: [organizationId, projectId],
    projectId: [projectId, projectId.toUpperCase()],
    personId: ["ann"],
    secretName: ["FUZZED"],
    runId: [runId],
    stepId: [saved.id],
    version: ["1"],
    scheduleId: [schedule.id],
  };
  const settings = { STEPVAULT_API_REQUESTS_PER_MINUTE_MAX: "1000000" };
  api = await startApi({ vault, temporary: { database } }, { settings, runs, steps, schedules });
});
afterAll(async () => {
  await api.api.close();
  await whole.close();
});

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

async function send({ method, path, headers, body }: RandomRequest): Promise<Answer | undefined> {
  return await new Promise((resolve) => {
    const outgoing = httpRequest({ port: api.port, host: "127.0.0.1", method, path });
    const timer = setTimeout(() => outgoing.destroy(), mayWait.test(path) ? waitMsMax : answerMsMax);
    // Node's client refuses some headers; those go over the bare socket below.
    for (const [name, value] of Object.entries(headers)) {
      try {
        outgoing.setHeader(name, value);
      } catch {
        continue;
      }
    }
    outgoing.on("response", (response) => {
      const { statusCode: status = 0, headers } = response;
      const type = headers["content-type"]?.replace(/;.*$/, "") ?? "";
      let text = "";
      const done = (): void => resolve({ status, type, body: text });
      response.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")));
      response.on("close", () => {
        clearTimeout(timer);
        done();
      });
      // A stream goes on for ever.
      if (type === "text/event-stream" || type === "application/x-ndjson") outgoing.destroy();
    });
    outgoing.on("error", () => {
      clearTimeout(timer);
      resolve(undefined);
    });
    outgoing.end(body);
  });
}

/** No 5xx, and every refusal a problem; a failure shows the answer. */
function expectNoFault(status: number, type: string | undefined, text: string): void {
  const fits = status < 400 || (status < 500 && type === "application/problem+json");
  expect({ fits, status, type, text }).toMatchObject({ fits: true });
}

test("no request at random gets a 5xx, and every answer is as documented", { timeout: 600_000 }, async () => {
  const document = await openApiDocument(apiRoutes);
  const operations = operationsOf(document);
  const counts = new Map<number, number>();
  for (const documented of operations) {
    await fc.assert(
      fc.asyncProperty(requestTo(document, documented, known), async (request) => {
        const answer = await send(request);
        // Not answered: only where a body broke off or was not read to its end.
        if (answer === undefined) return;
        const { status, type, body } = answer;
        counts.set(status, (counts.get(status) ?? 0) + 1);
        const response = documented.operation.responses[status] ?? documented.operation.responses["default"];
        expectNoFault(status, type, body);
        if (body === "" || type === "text/event-stream" || type === "application/x-ndjson") return;
        const schema = response?.content?.[type]?.schema;
        expect({ schema, status, type }).not.toHaveProperty("schema", undefined);
        expect(faultsOf(document, schema!, JSON.parse(body))).toEqual([]);
      }),
      { numRuns: runsPerOperation },
    );
  }
  // It is no test of refusals only: some requests got through.
  expect([...counts].some(([status, count]) => status < 300 && count >= operations.length)).toBe(true);
  expect((await api.request("/healthz")).status).toBe(200);
});

test("no bytes at random get a 5xx or end the server", { timeout: 300_000 }, async () => {
  const line = fc.oneof(
    fc.constantFrom(
      "GET /v1/organizations HTTP/1.1",
      "POST /v1/organizations HTTP/1.1",
      "GET //../%2e%2e HTTP/1.1",
      "OPTIONS * HTTP/1.1",
      "GET http://evil/v1/organizations HTTP/1.0",
      "QUERY / HTTP/1.1",
      "GET /?%73k-us_x HTTP/1.1",
    ),
    fc.string({ unit: "binary-ascii", maxLength: 40 }),
  );
  const header = fc.oneof(
    fc.constantFrom(
      "host: x",
      "authorization: operator",
      "content-type: application/json",
      "content-length: 5",
      "content-length: -1",
      "content-length: 99999999999999999999",
      "transfer-encoding: chunked",
      "transfer-encoding: chunked, identity",
      "connection: upgrade",
      "upgrade: h2c",
      "expect: x",
      " folded: y",
      "a",
      ": b",
      "cookie: \0",
      "accept-version: 1",
    ),
    fc.string({ unit: "binary-ascii", maxLength: 60 }),
  );
  const body = fc.oneof(
    fc.constantFrom("", "hello", '{"name":"x"}', "5\r\nhello\r\n0\r\n\r\n", "zz\r\n", "-1\r\n\r\n"),
    fc.string({ unit: "binary-ascii" }),
  );
  await fc.assert(
    fc.asyncProperty(line, fc.array(header, { maxLength: 6 }), body, async (line, headers, body) => {
      const answer = await sendBytes(
        api.port,
        Buffer.from(`${[line, ...headers].join("\r\n")}\r\n\r\n${body}`, "latin1"),
        30,
      );
      expectNoFault(answer.status, answer.headers["content-type"], answer.text);
    }),
    { numRuns: runsPerOperation * 4 },
  );
  expect((await api.request("/healthz")).status).toBe(200);
});
