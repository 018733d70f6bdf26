/**
 * Goal: no pointer that somebody can write leads out of what the operator gave the project, and the operator's file cannot
 * give more than it says. Method: every way to write "up", "elsewhere" and "the other one", as examples and as properties.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../protocol/config.ts";
import type { StepvaultError } from "../../protocol/error.ts";
import { createId } from "../../protocol/ids.ts";
import { parsePointer, parseSources, pathInSource, secretPointerSchema } from "../../protocol/secret-source.ts";

const own = { organizationId: createId(), projectId: createId() };
const other = {
  organizationId: "0199aaaa-0000-7000-8000-000000000001",
  projectId: "0199aaaa-0000-7000-8000-000000000002",
};
const prefix = "stepvault/{organizationId}/{projectId}";
const pointer = { source: "corp", path: "team/stripe", field: "api_key" };

function refusal(run: () => unknown): StepvaultError {
  try {
    run();
  } catch (error) {
    return error as StepvaultError;
  }
  throw new Error("it was accepted");
}

/** Pieces from which ways out are made. */
const pieces = [
  ...".. . ... / // \\ %2e %2E%2e %2f %5c %252e %00 ? # ; & * + @ : ~ é ．． ‥ ∕ a data metadata v1 sys".split(" "),
  "\0",
  "\n",
  "\r",
  " ",
  "{projectId}",
  "{organizationId}",
  "http://127.0.0.1",
  other.projectId,
  other.organizationId,
];

/** Each of them by itself. */
const waysOut = [
  ...".. . ../x a/../x a/.. ./a a/./b a//b /a a/ / ..\\x a\\..\\b %2e%2e/x ..%2fx a%2fb %252e%252e/x".split(" "),
  ...`a?version=1 a#b a;b a:b http://127.0.0.1/x ．．/x é {projectId}/x * +/x ~ @ ../${other.projectId}/x`.split(" "),
  "",
  "a b",
  "a\nb",
  "a\0b",
  "a".repeat(129),
  `${"a/".repeat(16)}a`,
  Array(5).fill("a".repeat(120)).join("/"),
];

describe("a pointer's path", () => {
  test.each(waysOut)("that could lead elsewhere is refused: %j", (path) => {
    const { code, message } = refusal(() => parsePointer({ ...pointer, path }));
    expect(code).toBe("ERR_SECRET_SOURCE_INVALID");
    // Short ones are in the words of the rule.
    expect(path.length > 5 && message.includes(path)).toBe(false);
  });

  test("leads below the project's own prefix and nowhere else, whatever it is made of", () => {
    const paths = fc.oneof(
      fc.array(fc.constantFrom(...pieces), { maxLength: 8 }).map((some) => some.join("")),
      fc.string(),
    );
    let accepted = 0;
    fc.assert(
      fc.property(paths, (path) => {
        const parsed = secretPointerSchema.safeParse({ ...pointer, path }).data;
        if (parsed === undefined) return;
        accepted += 1;
        const asked = `/v1/secret/data/${pathInSource({ prefix }, own, parsed.path)}`;
        const root = `/v1/secret/data/stepvault/${own.organizationId}/${own.projectId}/`;
        // However a server or a proxy decodes and normalizes it, it is the same.
        expect(new URL(asked, "http://localhost").pathname).toBe(asked);
        expect(decodeURIComponent(asked)).toBe(asked);
        expect(asked.slice(0, root.length)).toBe(root);
        expect(asked.split("/").some((segment) => segment === "." || segment === "..")).toBe(false);
        expect(asked).not.toContain("//");
      }),
      { numRuns: 5_000 },
    );
    expect(accepted).toBeGreaterThan(50);
  });

  test("may name another project's id, and stays below the own one", () => {
    const path = pathInSource({ prefix }, own, parsePointer({ ...pointer, path: `${other.projectId}/x` }).path);
    expect(path).toBe(`stepvault/${own.organizationId}/${own.projectId}/${other.projectId}/x`);
  });
});

describe("a pointer", () => {
  test.each([
    { mount: "other" },
    { namespace: "root" },
    { address: "http://127.0.0.1:1" },
    { prefix: "" },
    { version: 0 },
    { version: -1 },
    { version: 1.5 },
    { version: "1" },
    { version: 2 ** 40 },
    { field: "" },
    { field: "a\r\nb" },
    { field: "a".repeat(129) },
    { source: "corp/../x" },
    { source: "" },
    { path: ["a"] },
    { "a-pasted-secret-value": 1 },
  ])("that says more or something else is refused, and not repeated: %j", (change) => {
    const { code, message } = refusal(() => parsePointer({ ...pointer, ...change }));
    expect(code).toBe("ERR_SECRET_SOURCE_INVALID");
    expect(message).not.toMatch(/pasted|root|127\.0|\.\.\/x/);
  });

  test("is taken as it is when it is right", () => {
    expect(parsePointer({ ...pointer, version: 3 })).toEqual({ ...pointer, version: 3 });
    expect(parsePointer({ field: "tls.crt of @me", source: "corp", path: "..." }).path).toBe("...");
  });
});

const source = { name: "corp", type: "kv2", address: "https://vault:8200", mount: "secret", tokenFile: "/t", prefix };

function parseFile(...sources: object[]): ReturnType<typeof parseSources> {
  return parseSources(JSON.stringify({ sources }));
}

describe("the operator's list of sources", () => {
  test("is in the file that the setting names, and there need be none", () => {
    expect(parseConfig({ STEPVAULT_SECRET_SOURCES_FILE: "/etc/sources.json" }).secretSourcesFile).toBe(
      "/etc/sources.json",
    );
    expect(parseConfig({}).secretSourcesFile).toBeUndefined();
  });

  test("is read with what it leaves out", () => {
    expect(parseFile({ ...source, address: "https://VAULT:8200/" })).toEqual([{ ...source, shared: false }]);
    expect(parseFile({ ...source, prefix: "", shared: true })).toHaveLength(1);
  });

  test.each([
    [{ prefix: "stepvault" }, /prefix: must hold/],
    [{ prefix: "" }, /prefix: must hold/],
    [{ prefix: "{project}" }, /prefix: 1 to 16/],
    [{ prefix: "../{projectId}" }, /prefix: 1 to 16/],
    [{ prefix: "/{projectId}" }, /prefix: 1 to 16/],
    [{ prefix: "{projectId}/" }, /prefix: 1 to 16/],
    [{ shared: true }, /prefix: must hold/],
    [{ mount: "secret/../sys" }, /mount: 1 to 16/],
    [{ mount: "" }, /mount: 1 to 16/],
    [{ namespace: "a\r\nx: y" }, /namespace: 1 to 16/],
    [{ type: "kv1" }, /type: Invalid input: expected "kv2"$/],
    [{ token: "hvs.pasted" }, /has 1 unknown key\(s\)$/],
    [{ address: "http://vault:8200" }, /address: https/],
    [{ address: "http://10.0.0.1:8200" }, /address: https/],
    [{ address: "http://127.0.0.1.evil.example" }, /address: https/],
    [{ address: "http://localhost@evil.example" }, /address: https/],
    [{ address: "https://user:pasted@vault" }, /address: https/],
    [{ address: "https://vault/v1" }, /address: https/],
    [{ address: "https://vault?x" }, /address: https/],
    [{ address: "unix:///run/vault" }, /address: https/],
    [{ address: "http://127.0.0.1", caFile: "/ca" }, /caFile: is for https only$/],
  ])("is refused with %j, by rule and without what was written", (change, rule) => {
    const { code, message } = refusal(() => parseFile({ ...source, ...change }));
    expect(code).toBe("ERR_CONFIG_INVALID");
    expect(message).toMatch(rule);
    expect(message).not.toMatch(/pasted|evil|sys/);
  });

  test.each(["http://127.0.0.1:8200", "http://localhost:8200", "http://[::1]:8200", "http://127.9.9.9"])(
    "takes a server of this machine without encryption: %s",
    (address) => {
      expect(parseFile({ ...source, address })[0]).toMatchObject({ address });
    },
  );

  test("that is no JSON is refused without a word of it", () => {
    const { code, message } = refusal(() => parseSources('{"sources": hvs.pasted'));
    expect(code).toBe("ERR_CONFIG_INVALID");
    expect(message).not.toContain("pasted");
  });

  test("has each name once", () => {
    expect(refusal(() => parseFile(source, source)).message).toContain("another source has this name");
  });

  const wide = { ...source, name: "wide" };
  test.each([
    ["everybody's mount", { ...wide, prefix: "", shared: true }],
    ["everybody's folder", { ...wide, prefix: "stepvault", shared: true }],
    ["an organization's folder", { ...wide, prefix: "stepvault/{organizationId}" }],
    [
      "the same place with another address",
      { ...wide, prefix: "stepvault", shared: true, address: "https://vault:8200/" },
    ],
  ])("has no source through which all could read what another keeps for each project: %s", (_, looser) => {
    for (const pair of [
      [looser, source],
      [source, looser],
    ]) {
      expect(refusal(() => parseFile(...pair)).message).toContain("is for more projects and holds all of the other");
    }
  });

  test("takes a namespace in the header or before the mount as the same place", () => {
    const before = { ...source, mount: "team/secret" };
    const header = { ...wide, namespace: "team", prefix: "stepvault", shared: true };
    expect(refusal(() => parseFile(before, header)).code).toBe("ERR_CONFIG_INVALID");
  });

  test("has sources beside each other", () => {
    const beside = { ...wide, prefix: "stepvault-shared", shared: true };
    const elsewhere = { ...wide, name: "there", mount: "other", prefix: "", shared: true };
    expect(parseFile(source, beside, elsewhere)).toHaveLength(3);
  });
});
