/**
 * The client library in a browser itself, where Chromium is installed. Goal: a page with an embed key starts its agent's step and
 * follows the run to its result, and a page of another origin gets nowhere. Method: a whole Stepvault, two pages on loopback that
 * load the bundle and tell their server what they saw. The key is in the page, as an embed key is. Without Chromium these tests
 * are skipped, and say so.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Client, Key } from "../../client/client.ts";
import { type ApiService, openApiService } from "../helpers/api.ts";

const chromium = "chromium";
const missing = spawnSync(chromium, ["--version"], { stdio: "ignore" }).error !== undefined;
const pageMsMax = 40_000;
const switches =
  "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync --disable-background-networking --disable-component-update --remote-debugging-port=0".split(
    " ",
  );

/** What a page tells of its run; `error` is a code of the library's. */
interface Seen {
  readonly kinds?: string[];
  readonly output?: unknown;
  readonly shown?: string;
  readonly error?: string;
}

const script = `
const tell = (seen) => fetch("/seen", { method: "POST", body: JSON.stringify(seen) });
(async () => {
  const { stored, baseUrl, stepId } = await (await fetch("/page.json")).json();
  const client = new stepvault.Client(new stepvault.Key(stored), { baseUrl, retriesMax: 0 });
  const { runId } = await client.runs.submit({ step: { id: stepId }, params: { text: "four" } });
  const stream = client.runs.stream(runId);
  const kinds = [];
  for await (const { kind } of stream) kinds.push(kind);
  await tell({ kinds, output: (await stream.result()).output, shown: String(client) + JSON.stringify(client) });
})().catch((error) => tell({ error: error.code ?? String(error) }));
`;

class Page {
  readonly #server: Server;
  readonly seen = Promise.withResolvers<Seen>();
  /** For the page's script. */
  facts: object = {};

  constructor(bundle: string) {
    const files: Record<string, () => [type: string, text: string]> = {
      "/": () => ["text/html", '<!doctype html><script src="/client.js"></script><script src="/page.js"></script>'],
      "/client.js": () => ["text/javascript", bundle],
      "/page.js": () => ["text/javascript", script],
      "/page.json": () => ["application/json", JSON.stringify(this.facts)],
    };
    this.#server = createServer(async (request, response) => {
      if (request.method === "POST") {
        let text = "";
        for await (const chunk of request) text += String(chunk);
        response.end();
        this.seen.resolve(JSON.parse(text) as Seen);
        return;
      }
      const file = files[request.url ?? ""]?.();
      response.writeHead(file === undefined ? 404 : 200, { "content-type": file?.[0] ?? "text/plain" }).end(file?.[1]);
    });
  }

  async open(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

const pages: Page[] = [];
let folder: string;
let whole: ApiService;
let origin: string;
let otherOrigin: string;
let stored: object;
beforeAll(async () => {
  if (missing) return;
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-browser-"));
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../../client/client.ts", import.meta.url))],
    bundle: true,
    write: false,
    platform: "browser",
    target: "es2022",
    format: "iife",
    globalName: "stepvault",
  });
  pages.push(new Page(outputFiles[0]!.text), new Page(outputFiles[0]!.text));
  [origin, otherOrigin] = (await Promise.all(pages.map(async (page) => await page.open()))) as [string, string];
  whole = await openApiService({ STEPVAULT_API_CORS_ORIGINS: origin });
  const baseUrl = whole.api.address;
  const [admin, trigger] = await Promise.all(
    (["admin", "trigger"] as const).map(
      async (scope) => new Key({ key: await whole.key([scope]), region: "us", project: whole.projectId }),
    ),
  );
  const owner = new Client(admin!, { baseUrl });
  const code = 'console.log("hello"); return params.text.length';
  const { id: stepId } = await owner.steps.create({
    name: "Count",
    step: { language: "javascript", code },
    publish: true,
  });
  const agent = await owner.call("createAgent", {
    body: { kind: "agent", name: "Shop", public: true, stepIds: [stepId] },
  });
  stored = await Key.generateEmbedKey(
    { parent: trigger!, agentId: agent.id, origins: [origin, otherOrigin] },
    { baseUrl },
  );
  for (const page of pages) page.facts = { stored, baseUrl, stepId };
});
afterAll(async () => {
  for (const page of pages) page.close();
  await whole?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, maxRetries: 5 });
});

/** Opens the page's address in a browser of its own until the page has told what it saw. */
async function visit(page: Page, url: string): Promise<Seen> {
  const profile = `--user-data-dir=${mkdtempSync(path.join(folder, "profile-"))}`;
  const env = { PATH: process.env["PATH"], HOME: folder };
  const child = spawn(chromium, [...switches, profile, url], { env, stdio: "ignore", detached: true });
  const late = setTimeout(() => page.seen.reject(new Error("the page told nothing")), pageMsMax);
  try {
    return await page.seen.promise;
  } finally {
    clearTimeout(late);
    process.kill(-child.pid!, "SIGKILL");
    await once(child, "close");
  }
}

test.skipIf(missing)("a page with an embed key starts its agent's step and follows it to the result", async () => {
  const seen = await visit(pages[0]!, origin);
  expect(seen).toMatchObject({ output: 4 });
  expect([seen.kinds?.[0], seen.kinds?.at(-1)]).toEqual(["started", "finished"]);
  const { key } = JSON.parse(JSON.stringify(stored)) as { key: string };
  expect(seen.shown).not.toContain(key.slice(6, -6));
});

test.skipIf(missing)("a page of an origin that the API does not list learns nothing", async () => {
  expect(await visit(pages[1]!, otherOrigin)).toEqual({ error: "ERR_CLIENT_NETWORK" });
});
