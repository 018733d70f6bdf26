/** The grammar of a network policy's rules, and what each lets pass. */
import { describe, expect, test } from "vitest";
import { networkPolicySchema } from "../../protocol/job.ts";
import { parseNetworkRule, ruleAllows } from "../../protocol/network.ts";

const allows = (rule: string, url: string, method = "GET"): boolean =>
  ruleAllows(parseNetworkRule(rule)!, method, new URL(url));

describe("a rule", () => {
  test.each([
    ["api.example.com", "https://api.example.com/", true],
    ["api.example.com", "http://api.example.com/", true],
    ["api.example.com", "https://api.example.com./", true],
    ["API.Example.com", "https://api.example.com/", true],
    ["api.example.com", "https://example.com/", false],
    ["api.example.com", "https://evilapi.example.com/", false],
    ["api.example.com", "https://api.example.com.evil.example/", false],
    ["api.example.com", "https://a.api.example.com/", false],
    ["*.example.com", "https://a.b.example.com/", true],
    ["*.example.com", "https://example.com/", false],
    ["*.example.com", "https://evilexample.com/", false],
    ["https://api.example.com", "http://api.example.com/", false],
    ["api.example.com", "https://api.example.com:8443/", false],
    ["api.example.com", "http://api.example.com:5432/", false],
    ["api.example.com:8443", "https://api.example.com:8443/", true],
    ["api.example.com:8443", "https://api.example.com/", false],
    ["api.example.com:443", "https://api.example.com/", true],
    ["api.example.com:443", "http://api.example.com/", false],
    ["b\u00fccher.example", "https://xn--bcher-kva.example/", true],
    ["0x7f.1:80", "http://127.0.0.1/", true],
    ["[0:0::1]:80", "http://[::1]/", true],
  ])("%s, asked for %s: %s", (rule, url, expected) => expect(allows(rule, url)).toBe(expected));

  test("names methods, or allows them all", () => {
    expect(allows("GET,POST https://api.example.com", "https://api.example.com/", "post")).toBe(true);
    expect(allows("GET,POST api.example.com", "https://api.example.com/", "DELETE")).toBe(false);
    expect(allows("api.example.com", "https://api.example.com/", "DELETE")).toBe(true);
  });
});

test.each([
  "",
  "*",
  "*.*.example.com",
  "a.*.example.com",
  "example.com/path",
  "user@example.com",
  "example.com:0",
  "example.com:65536",
  "example.com:http",
  "ftp://example.com",
  "https://",
  "example.com?x",
  "ex ample.com",
  "GET,example.com",
  "[::1",
  "sk_live_TEST\u0000",
])("%j is no rule, and no policy holds it", (text) => {
  expect(parseNetworkRule(text)).toBeUndefined();
  expect(networkPolicySchema.safeParse([text]).success).toBe(false);
});
