/** Cursors and ETags on their own: what they take, and that anything else is refused. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { checkConditions, etagOf } from "../../api/etag.ts";
import { decodeCursor, encodeCursor, pageById, pageOfRows } from "../../api/paging.ts";
import { holdsKey } from "../../api/request-guard.ts";
import { parseConfig } from "../../protocol/config.ts";
import { apiConfig } from "./api.ts";

describe("cursors", () => {
  const schema = z.tuple([z.string(), z.int()]);

  test("any sort key comes back as it was", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.integer(), (text, count) => {
        if (!text.isWellFormed()) return;
        expect(decodeCursor(encodeCursor([text, count]), schema)).toEqual([text, count]);
      }),
    );
  });

  test("anything else is ERR_CURSOR_INVALID", () => {
    const good = encodeCursor(["a", 1]);
    const odd = [
      `${good}=`,
      `${good} `,
      good.slice(1),
      encodeCursor(["a"]),
      encodeCursor(["a", "1"]),
      encodeCursor(["a", 1, 2]),
    ];
    for (const cursor of [...odd, "", "!", "bnVsbA"])
      expect(() => decodeCursor(cursor, schema)).toThrow(
        expect.objectContaining({ code: "ERR_CURSOR_INVALID" }) as Error,
      );
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(() => decodeCursor(text, schema)).toThrow("Cannot read the cursor");
      }),
    );
  });

  test("a page of rows has a cursor only when there is a row too many", () => {
    const key = ({ id }: { id: string }): [string] => [id];
    expect(pageOfRows([{ id: "a" }, { id: "b" }], 2, key)).toEqual({
      data: [{ id: "a" }, { id: "b" }],
      pagination: { hasMore: false },
    });
    const page = pageOfRows([{ id: "a" }, { id: "b" }, { id: "c" }], 2, key);
    expect(page).toEqual({
      data: [{ id: "a" }, { id: "b" }],
      pagination: { cursor: encodeCursor(["b"]), hasMore: true },
    });
  });

  test("a page by id goes on behind an entry that is gone", () => {
    const ids = ["1", "2", "3"].map((digit) => `0189000${digit}-0000-7000-8000-000000000000`);
    const { pagination } = pageById([{ id: ids[1]! }, { id: ids[0]! }, { id: ids[2]! }], {
      limit: 2,
      cursor: undefined,
    });
    const rest = pageById([{ id: ids[2]! }, { id: ids[0]! }], { limit: 2, cursor: pagination.cursor });
    expect(rest).toEqual({ data: [{ id: ids[2] }], pagination: { hasMore: false } });
  });
});

describe("conditions", () => {
  test.each([
    [{ "if-match": '"3"' }, etagOf(3), "passes"],
    [{ "if-match": '"2", "3"' }, etagOf(3), "passes"],
    [{ "if-match": "*" }, etagOf(3), "passes"],
    [{ "if-match": "*" }, undefined, "ERR_PRECONDITION"],
    [{ "if-match": '"2"' }, etagOf(3), "ERR_PRECONDITION"],
    [{ "if-match": 'W/"3"' }, etagOf(3), "ERR_PRECONDITION"],
    [{ "if-none-match": "*" }, undefined, "passes"],
    [{ "if-none-match": "*" }, etagOf(1), "ERR_PRECONDITION"],
    [{ "if-match": "3" }, etagOf(3), "ERR_REQUEST_INVALID"],
    [{ "if-match": "" }, etagOf(3), "ERR_REQUEST_INVALID"],
    [{ "if-none-match": '"a' }, undefined, "ERR_REQUEST_INVALID"],
    [{}, etagOf(3), "passes"],
  ])("%j of what has the tag %s: %s", (headers, current, outcome) => {
    let code = "passes";
    try {
      checkConditions(headers, current);
    } catch (error) {
      ({ code } = error as { code: string });
    }
    expect(code).toBe(outcome);
  });
});

describe("keys in URLs", () => {
  test("a key is found wherever it stands and however often it is encoded", () => {
    const encode = (text: string): string =>
      text.replaceAll(/[^]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
    fc.assert(
      fc.property(
        fc.constantFrom("sk-us_a", "sk-org-eu_Z9", "ek-au_0"),
        fc.webPath(),
        fc.webQueryParameters(),
        fc.integer({ min: 0, max: 3 }),
        (key, path, query, times) => {
          let text: string = key;
          for (let count = 0; count < times; count += 1) text = encode(text);
          expect(holdsKey(`${path}${text}`)).toBe(true);
          expect(holdsKey(`/x?${query}&a=${text}&b`)).toBe(true);
        },
      ),
    );
  });
});

describe("settings of the API", () => {
  test("nothing is open by default", () => {
    expect(parseConfig({}).api).toEqual({
      host: "127.0.0.1",
      port: 8484,
      corsOrigins: [],
      requestsPerMinuteMax: 1_200,
      bodyBytesMax: 25_165_824,
      trustProxy: [],
      publicUrl: undefined,
      metricsTokenFile: undefined,
    });
  });

  test.each([
    ["STEPVAULT_API_CORS_ORIGINS", "https://app.example.com/"],
    ["STEPVAULT_API_CORS_ORIGINS", "https://*.example.com"],
    ["STEPVAULT_API_CORS_ORIGINS", "null"],
    ["STEPVAULT_API_CORS_ORIGINS", "file://"],
    ["STEPVAULT_API_TRUST_PROXY", "on"],
    ["STEPVAULT_API_TRUST_PROXY", "0.0.0.0/0"],
    ["STEPVAULT_API_TRUST_PROXY", "10.0.0.0/33"],
    ["STEPVAULT_API_TRUST_PROXY", ","],
    ["STEPVAULT_API_PUBLIC_URL", "http://api.example.com"],
    ["STEPVAULT_API_PUBLIC_URL", "https://u:p@api.example.com"],
    ["STEPVAULT_API_PORT", "70000"],
    ["STEPVAULT_API_HOST", "[::1]"],
  ])("%s=%s stops the start", (key, value) => {
    expect(() => apiConfig({ [key]: value })).toThrow(expect.objectContaining({ code: "ERR_CONFIG_INVALID" }) as Error);
  });
});
