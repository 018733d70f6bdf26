/**
 * The keys of an issuer. Goal: whatever the issuer's server does and whatever tokens come, nobody waits long, the server is
 * not flooded, and a key that works goes on working while the server is away. Method: a real server on loopback that
 * misbehaves on demand; shorter times than usual where a test waits for them.
 */
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { IssuerKeyTimes } from "../../api/principals/issuer-keys.ts";
import { createPersonTokens, type PersonTokens } from "../../api/principals/person-tokens.ts";
import { codeOf } from "../vault/platform-keys/keys-world.ts";
import { audience, type Behaviour, type Issuer, startIssuer } from "./issuer.ts";

const usual: IssuerKeyTimes = {
  timeMsMax: 500,
  unknownKeyMs: 30_000,
  failureMs: 5_000,
  refreshMs: 600_000,
  ageMsMax: 3_600_000,
};
let issuer: Issuer;
let opened: PersonTokens | undefined;

beforeEach(async () => {
  issuer = await startIssuer();
});
afterEach(async () => {
  opened?.close();
  await issuer.stop();
});

function open(times: Partial<IssuerKeyTimes> = {}, jwksUrl?: string): PersonTokens {
  opened?.close();
  const settings = { issuer: issuer.url, audience, jwksUrl, claim: "sub" };
  return (opened = createPersonTokens(settings, { times: { ...usual, ...times } }));
}
const answer = async (by: PersonTokens, header = {}): Promise<string> =>
  await codeOf(by.check(await issuer.token({}, header)));
const unavailable = "ERR_ISSUER_UNAVAILABLE";

describe("keys of an issuer", () => {
  test("are asked for once, however many tokens come at once", async () => {
    const tokens = open();
    const answers = await Promise.all(Array.from({ length: 50 }, async () => await answer(tokens)));
    expect(new Set(answers)).toEqual(new Set(["ok"]));
    expect(issuer.asked()).toBe(1);
  });

  test("a flood of unknown ids asks no more", async () => {
    const tokens = open();
    expect(await answer(tokens)).toBe("ok");
    for (let count = 0; count < 200; count += 1)
      expect(await answer(tokens, { kid: `made-up-${count}` })).toBe("ERR_UNAUTHENTICATED");
    expect(issuer.asked()).toBe(1);
    expect(await answer(tokens)).toBe("ok");
  });

  test("a rotated key is found, and one that was taken back is refused then", async () => {
    const tokens = open({ unknownKeyMs: 50 });
    const old = await issuer.token();
    expect(await codeOf(tokens.check(old))).toBe("ok");
    await issuer.rotate("second");
    await delay(80);
    expect(await answer(tokens)).toBe("ok");
    expect(await codeOf(tokens.check(old))).toBe("ERR_UNAUTHENTICATED");
  });

  test("are good while the issuer is away, and asked for again in the background", async () => {
    const tokens = open({ refreshMs: 50, failureMs: 10 });
    expect(await answer(tokens)).toBe("ok");
    await issuer.stop();
    for (let count = 0; count < 5; count += 1) {
      await delay(60);
      expect(await answer(tokens)).toBe("ok");
    }
    await issuer.start();
    const asked = issuer.asked();
    await delay(60);
    expect(await answer(tokens)).toBe("ok");
    await expect.poll(() => issuer.asked()).toBeGreaterThan(asked);
  });

  test("unknown ids do not take them away while the issuer is away", async () => {
    const tokens = open({ unknownKeyMs: 0, failureMs: 10 });
    expect(await answer(tokens)).toBe("ok");
    await issuer.stop();
    for (let count = 0; count < 10; count += 1) expect(await answer(tokens, { kid: "made-up" })).toBe(unavailable);
    expect(await answer(tokens)).toBe("ok");
  });

  test("are not good for ever without the issuer", async () => {
    const tokens = open({ ageMsMax: 100, failureMs: 10 });
    expect(await answer(tokens)).toBe("ok");
    await issuer.stop();
    await delay(150);
    expect(await answer(tokens)).toBe(unavailable);
    await issuer.start();
    await delay(50);
    expect(await answer(tokens)).toBe("ok");
  });

  test("are found where settings say, without the issuer's configuration", async () => {
    issuer.pretend({ jwks_uri: "http://127.0.0.1:9/none" });
    expect(await answer(open({}, `${issuer.url}/keys`))).toBe("ok");
  });

  test("a shared key among them signs nothing", async () => {
    issuer.publish([{ kty: "oct", kid: "first", k: Buffer.alloc(32, 1).toString("base64url"), alg: "HS256" }]);
    expect(await answer(open())).toBe("ERR_UNAUTHENTICATED");
  });
});

describe("an issuer that misbehaves", () => {
  test.each<Behaviour>(["slow", "redirect", "large", "broken", "error", "empty"])(
    "with %s answers costs nobody more than the time of one request",
    async (behaviour) => {
      const tokens = open();
      issuer.behave(behaviour);
      const begin = performance.now();
      const answers = await Promise.all(Array.from({ length: 20 }, async () => await answer(tokens)));
      expect(new Set(answers)).toEqual(new Set([unavailable]));
      expect(performance.now() - begin).toBeLessThan(2_000);
      for (let count = 0; count < 5; count += 1) expect(await answer(tokens)).toBe(unavailable);
      expect(issuer.asked()).toBe(1);
    },
  );

  test("is left alone for a while after a failure, and asked again then", async () => {
    const tokens = open({ failureMs: 300 });
    issuer.behave("error");
    for (let count = 0; count < 20; count += 1) expect(await answer(tokens)).toBe(unavailable);
    expect(issuer.asked()).toBe(1);
    issuer.behave("good");
    // However many go on asking meanwhile.
    await expect.poll(async () => await answer(tokens), { interval: 20, timeout: 2_000 }).toBe("ok");
  });

  test.each<[string, Record<string, unknown>]>([
    ["speaks for another issuer", { issuer: "http://127.0.0.1:9" }],
    ["has no address of keys", { jwks_uri: undefined }],
    ["has keys in a file", { jwks_uri: "file:///etc/passwd" }],
    ["has keys without TLS elsewhere", { jwks_uri: "http://192.0.2.1/keys" }],
  ])("whose configuration %s is not believed", async (_what, configuration) => {
    issuer.pretend(configuration);
    expect(await answer(open())).toBe(unavailable);
    expect(issuer.asked()).toBe(0);
  });

  test("closing ends a request that waits", async () => {
    const tokens = open({ timeMsMax: 30_000 });
    issuer.behave("slow");
    const waiting = answer(tokens);
    await expect.poll(() => issuer.asked()).toBe(1);
    tokens.close();
    expect(await waiting).toBe(unavailable);
  });
});
