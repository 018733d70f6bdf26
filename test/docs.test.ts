/**
 * The documents say what is true: generated pages are fresh, links lead somewhere, names of codes, settings and limits
 * exist, and what README.md and docs/jobs.md show is run. Nothing in a document is checked by being repeated here.
 */
import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, onTestFinished, test } from "vitest";
import { clientLimits } from "../client/settings.ts";
import { configRows } from "../protocol/settings.ts";
import { errorCodes } from "../protocol/error.ts";
import { projectLimitsSchema } from "../protocol/http/project-limits.ts";
import { limitNames, payloadLimits } from "../protocol/limits.ts";
import { generatedPages } from "../scripts/docs.ts";
import { openTestService, type TestService } from "./helpers/service.ts";
import { setSecret } from "./helpers/vault.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const run = promisify(execFile);
const read = (name: string): string => readFileSync(path.join(root, name), "utf8");

const pages = await generatedPages();
const documents = [
  ...readdirSync(root).filter((name) => name.endsWith(".md")),
  ...readdirSync(path.join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

describe("generated pages", () => {
  for (const [name, text] of pages) {
    test(`docs/${name} is what \`npm run docs\` makes`, () => {
      expect(read(`docs/${name}`)).toBe(text);
    });
  }

  test("docs/errors.md has every error code once, and no other", () => {
    const listed = [...read("docs/errors.md").matchAll(/^\| `(ERR_[A-Z_]+)` /gm)].map(([, code = ""]) => code);
    expect(listed.sort()).toEqual(Object.keys(errorCodes).sort());
  });
});

describe("names in documents", () => {
  const settings = new Set(configRows().map(({ key }) => key));
  /** The beginning of a family of names, and what commands alone read. */
  const notSettings = new Set(["STEPVAULT_MAX", "STEPVAULT_KEY_FILE"]);
  const limits = new Set<string>([
    ...limitNames,
    ...Object.keys(payloadLimits),
    ...Object.keys(clientLimits),
    ...Object.keys(projectLimitsSchema.shape),
  ]);

  for (const name of documents) {
    test(`${name} names only codes, settings and limits that exist`, () => {
      const text = read(name);
      const codes = text.match(/\bERR_[A-Z_]+\b/g) ?? [];
      const keys = text.match(/\bSTEPVAULT_[A-Z_]*[A-Z]\b/g) ?? [];
      const figures = text.match(/\b[a-z]+(?:[A-Z][a-z]+)*(?:Bytes|Ms|Lines|Entries|Depth|Calls)Max\b/g) ?? [];
      expect(codes.filter((code) => !(code in errorCodes))).toEqual([]);
      expect(keys.filter((key) => !settings.has(key) && !notSettings.has(key))).toEqual([]);
      expect(figures.filter((limit) => !limits.has(limit))).toEqual([]);
    });
  }
});

describe("links", () => {
  for (const name of documents) {
    test(`${name} links to files and headings that exist`, () => {
      expect(brokenLinks(name)).toEqual([]);
    });
  }

  test("every page of docs/ is linked from another document", () => {
    const linked = new Set(
      documents.flatMap((name) => linksOf(name).map(({ file }) => path.join(path.dirname(name), file))),
    );
    expect(documents.filter((name) => name.startsWith("docs/") && !linked.has(name))).toEqual([]);
  });

  test("ARCHITECTURE.md names every folder and every dependency", () => {
    const text = read("ARCHITECTURE.md");
    const manifest = JSON.parse(read("package.json")) as Record<"dependencies" | "devDependencies", object>;
    const packages = Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
    const folders = readdirSync(root, { withFileTypes: true })
      .filter(
        (entry) => entry.isDirectory() && !entry.name.startsWith(".") && !["dist", "node_modules"].includes(entry.name),
      )
      .map((entry) => `${entry.name}/`);
    expect([...packages, ...folders].filter((word) => !text.includes(`\`${word}\``))).toEqual([]);
  });
});

describe("examples", () => {
  let vault: TestService;
  let redis: TestService;
  beforeAll(async () => {
    vault = await openTestService();
    redis = await openTestService({ STEPVAULT_REDIS_URL: inject("redisUrl"), STEPVAULT_REGION: "au" });
  });
  afterAll(async () => {
    await vault?.close();
    await redis?.close();
  });

  test("the transcript of README.md is what the commands print", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "stepvault-readme-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    symlinkSync(inject("cacheDir"), path.join(folder, "cache"));
    const env = { PATH: `${path.dirname(process.execPath)}:${process.env["PATH"] ?? ""}`, STEPVAULT_DATA_DIR: folder };
    const [, transcript = ""] = /```console\n([\s\S]*?)```/.exec(read("README.md")) ?? [];
    const parts = transcript.split(/^\$ /m).slice(1);
    expect(parts.length).toBeGreaterThan(1);
    for (const part of parts) {
      const [command = "", ...shown] = part.split("\n");
      const { stdout } = await run("sh", ["-c", `exec 2>&1; ${command}`], { cwd: root, env });
      expect(withoutTimes(stdout)).toBe(withoutTimes(shown.join("\n")));
    }
  });

  test("docs/jobs.md holds the example programs as they are", () => {
    const page = read("docs/jobs.md");
    for (const name of ["submit-redis.ts", "submit-postgres.ts", "store-secret.ts", "library.ts"]) {
      expect(page).toContain(`\`\`\`ts\n${read(`docs/examples/${name}`)}\`\`\``);
    }
  });

  test("an orchestrator adds a run over Redis", async () => {
    await setSecret(redis.service.vault, redis.projectId, "api_key", "value-of-the-key");
    const result = await runExample("submit-redis.ts", [inject("redisUrl"), "stepvault-au", redis.projectId]);
    expect(result).toMatchObject({ status: "succeeded", output: { key: "[REDACTED:api_key]", city: "Bern" } });
  });

  test("a program stores a secret, and an orchestrator adds a run over PostgreSQL", async () => {
    const stored = run(process.execPath, [path.join(root, "docs/examples/store-secret.ts"), "api_key"], {
      env: { PATH: process.env["PATH"], STEPVAULT_DATA_DIR: vault.folder },
    });
    stored.child.stdin?.end("value-of-the-key\n");
    const projectId = (await stored).stdout.trim();
    const cluster = path.join(vault.folder, "postgres");
    const password = readFileSync(path.join(cluster, "stepvault.password"), "utf8").trim();
    const url = `postgres://stepvault:${password}@localhost/stepvault?host=${encodeURIComponent(cluster)}`;
    const result = await runExample("submit-postgres.ts", [url, "stepvault-us", projectId]);
    expect(result).toMatchObject({ status: "succeeded", output: { key: "[REDACTED:api_key]", city: "Bern" } });
  });

  test("a program of its own runs a step with the library", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "stepvault-library-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    symlinkSync(inject("cacheDir"), path.join(folder, "cache"));
    expect(await runExample("library.ts", [folder])).toMatchObject({
      status: "succeeded",
      output: "[REDACTED:api_key]",
    });
  });
});

/** The last line that an example prints, as JSON. */
async function runExample(name: string, args: string[]): Promise<unknown> {
  const { stdout } = await run(process.execPath, [path.join(root, "docs/examples", name), ...args], {
    env: { PATH: process.env["PATH"] },
  });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}

function withoutTimes(text: string): string {
  return text.replaceAll(/^\d\d:\d\d:\d\d\.\d{3}/gm, "00:00:00.000").trim();
}

interface Link {
  readonly file: string;
  readonly heading: string;
}

/** The links of a document that stay within the checkout. Code is no link. */
function linksOf(name: string): Link[] {
  const text = read(name)
    .replaceAll(/```[\s\S]*?```/g, "")
    .replaceAll(/`[^`\n]*`/g, "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target))
    .map((target) => {
      const [file = "", heading = ""] = target.split("#");
      return { file, heading };
    });
}

function brokenLinks(name: string): string[] {
  return linksOf(name)
    .filter(({ file, heading }) => {
      const target = file === "" ? name : path.join(path.dirname(name), file);
      if (!existsSync(path.join(root, target))) return true;
      return heading !== "" && !headingsOf(target).includes(heading);
    })
    .map(({ file, heading }) => `${file}${heading === "" ? "" : `#${heading}`}`);
}

/** The anchors of a page's headings, as GitHub makes them. */
function headingsOf(name: string): string[] {
  return [...read(name).matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-"),
  );
}
