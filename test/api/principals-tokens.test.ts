/**
 * Tokens of an issuer. Goal: only what the issuer signed, for this audience and for now, says who somebody is, and nobody of
 * another issuer is the same person. Method: each attack on tokens of this kind, against a real issuer on loopback.
 */
import { createHmac, createPublicKey } from "node:crypto";
import { CompactSign, exportJWK, generateKeyPair, SignJWT } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createPersonTokens, type PersonTokens } from "../../api/principals/person-tokens.ts";
import { parseConfig } from "../../protocol/config.ts";
import { codeOf, failureOf } from "../vault/platform-keys/keys-world.ts";
import { audience, type Issuer, startIssuer } from "./issuer.ts";

let issuer: Issuer;
let other: Issuer;
let tokens: PersonTokens;
const opened: PersonTokens[] = [];

function open(settings: Partial<Parameters<typeof createPersonTokens>[0]> = {}, now?: () => Date): PersonTokens {
  const wanted = { issuer: issuer.url, audience, jwksUrl: undefined, claim: "sub", ...settings };
  const made = createPersonTokens(wanted, now === undefined ? {} : { now });
  opened.push(made);
  return made;
}

beforeAll(async () => {
  [issuer, other] = [await startIssuer(), await startIssuer()];
  tokens = open();
});
afterAll(async () => {
  for (const one of opened) one.close();
  await Promise.all([issuer.stop(), other.stop()]);
});

const answer = async (token: string, by = tokens): Promise<string> => await codeOf(by.check(token));
const refused = "ERR_UNAUTHENTICATED";
const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
const seconds = (more: number): number => Math.floor(Date.now() / 1_000) + more;

describe("a token of the issuer", () => {
  test("says who the person is, by issuer and claim", async () => {
    expect(await tokens.check(await issuer.token())).toBe(`${issuer.url}#ada`);
  });

  test.each([undefined, "JWT", "at+jwt", "application/at+jwt"])("works with the type %s", async (typ) => {
    expect(await answer(await issuer.token({}, { typ }))).toBe("ok");
  });

  test("of another audience among several is for this one too", async () => {
    expect(await answer(await issuer.token({ aud: ["other", audience] }))).toBe("ok");
  });

  test("the same name at another issuer is another person", async () => {
    const theirs = open({ issuer: other.url });
    expect(await theirs.check(await other.token())).not.toBe(await tokens.check(await issuer.token()));
  });

  test("of somebody who calls themselves as a person of this deployment is not that person", async () => {
    for (const sub of ["local", "operator", `${other.url}#ada`])
      expect(await tokens.check(await issuer.token({ sub }))).toBe(`${issuer.url}#${sub}`);
  });

  test("may be half a minute early or late, and no more", async () => {
    expect(await answer(await issuer.token({ exp: seconds(-20), nbf: seconds(20) }))).toBe("ok");
    expect(await answer(await issuer.token({ exp: seconds(-40) }))).toBe(refused);
    expect(await answer(await issuer.token({ nbf: seconds(40) }))).toBe(refused);
  });

  test("the clock that counts is the one that the API goes by", async () => {
    const later = open({}, () => new Date(Date.now() + 400_000));
    expect(await answer(await issuer.token(), later)).toBe(refused);
  });
});

describe("what an attacker changes in a token", () => {
  test("no algorithm", async () => {
    const [, body] = (await issuer.token()).split(".");
    for (const alg of ["none", "None", "NONE", ""])
      expect(await answer(`${base64({ alg, kid: "first" })}.${body}.`)).toBe(refused);
  });

  test("the public key as a shared one", async () => {
    const [, body] = (await issuer.token()).split(".");
    const jwk = issuer.published[0]!;
    const pem = createPublicKey({ key: jwk, format: "jwk" }).export({ type: "spki", format: "pem" });
    for (const key of [pem, JSON.stringify(jwk), Buffer.from(String(jwk.n), "base64url")]) {
      const signed = `${base64({ alg: "HS256", kid: "first" })}.${body}`;
      const code = createHmac("sha256", key).update(signed).digest("base64url");
      const { message } = await failureOf(tokens.check(`${signed}.${code}`));
      expect(message).toContain("its algorithm is not one of those that only an issuer can use");
    }
  });

  test("a key of their own, named, embedded or linked in the header", async () => {
    const { privateKey, publicKey } = await generateKeyPair("RS256", { extractable: true });
    const jwk = await exportJWK(publicKey);
    const asked = other.asked();
    for (const header of [
      { kid: "first" },
      { kid: "first", jwk },
      { kid: "unknown" },
      { kid: "../../etc/passwd" },
      { kid: "first", jku: `${other.url}/keys` },
      { kid: "first", x5u: `${other.url}/keys` },
    ]) {
      const token = await new SignJWT({ sub: "ada", iss: issuer.url, aud: audience, exp: seconds(60) })
        .setProtectedHeader({ alg: "RS256", ...header })
        .sign(privateKey);
      expect(await answer(token)).toBe(refused);
    }
    expect(other.asked()).toBe(asked);
  });

  test("claims under an old signature", async () => {
    const [header, , signature] = (await issuer.token()).split(".");
    const body = base64({ sub: "admin", iss: issuer.url, aud: audience, exp: seconds(60) });
    expect(await answer(`${header}.${body}.${signature}`)).toBe(refused);
  });

  test("a token that another issuer signed, in its own or in this one's name", async () => {
    expect(await answer(await other.token())).toBe(refused);
    expect(await answer(await other.token({ iss: issuer.url }))).toBe(refused);
  });

  test.each<[string, Record<string, unknown>]>([
    ["over", { exp: 1_000 }],
    ["without an end", { exp: undefined }],
    ["with an end in text", { exp: "9999999999" }],
    ["not begun", { nbf: 99_999_999_999 }],
    ["of another audience", { aud: "other" }],
    ["of an audience that begins alike", { aud: `${audience}-admin` }],
    ["of no audience", { aud: undefined }],
    ["of an issuer in other letters", { iss: "HTTP://127.0.0.1" }],
    ["of no issuer", { iss: undefined }],
    ["of nobody", { sub: undefined }],
    ["of an empty name", { sub: "" }],
    ["of a number", { sub: 7 }],
    ["of a list", { sub: ["ada"] }],
    ["of a name with a NUL", { sub: "ada\0" }],
    ["of a name with a blank", { sub: "ada " }],
    ["of a name that reads backwards", { sub: "\u202Eada" }],
    ["of a name with half a character", { sub: "\uD800" }],
    ["of a name in two spellings", { sub: "ADA\u0300" }],
    ["of a name too long for an id", { sub: "a".repeat(200) }],
    ["bound to a key of its holder", { cnf: { jkt: "x" } }],
  ])("a token that is %s", async (_what, claims) => {
    expect(await answer(await issuer.token(claims))).toBe(refused);
  });

  test.each([[{ typ: "logout+jwt" }], [{ typ: "dpop+jwt" }], [{ typ: "secevent+jwt" }]])(
    "a token that is for something else: %j",
    async (header) => {
      expect(await answer(await issuer.token({}, header))).toBe(refused);
    },
  );

  test("an extension that has to be understood", async () => {
    const payload = Buffer.from(JSON.stringify({ sub: "ada", iss: issuer.url, aud: audience, exp: seconds(60) }));
    const token = await new CompactSign(payload)
      .setProtectedHeader({ alg: "RS256", kid: "first", crit: ["b64"], b64: true })
      .sign(issuer.privateKey(), { crit: { b64: true } });
    const [header, body, signature] = token.split(".");
    const unknown = base64({ alg: "RS256", kid: "first", crit: ["x-all"], "x-all": true });
    expect(await answer(`${unknown}.${body}.${signature}`)).toBe(refused);
    expect(header).not.toBe(unknown);
  });

  test("length, without any search for a key", async () => {
    const asked = issuer.asked();
    expect(await answer(await issuer.token({ padding: "x".repeat(8_192) }))).toBe(refused);
    expect(await answer(`${"a".repeat(1 << 20)}.b.c`)).toBe(refused);
    expect(issuer.asked()).toBe(asked);
  });

  test.each(["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "a.b.c.d.e", "e30.e30.", "\0.\0.\0", "💥.💥.💥"])(
    "what is no token: %j",
    async (text) => {
      expect(await answer(text)).toBe(refused);
    },
  );

  test("a refusal says why in its own words and repeats nothing of the token", async () => {
    const { message } = await failureOf(tokens.check(await issuer.token({ aud: "the-wrong-one" })));
    expect(message).toBe("Cannot use the token: its claim aud is missing or does not fit");
    const over = await failureOf(tokens.check(await issuer.token({ exp: 1_000, sub: "somebody" })));
    expect(over.message).toBe("Cannot use the token: it is over");
  });
});

describe("another claim for who a person is", () => {
  test("is read instead of sub", async () => {
    const by = open({ claim: "oid" });
    expect(await by.check(await issuer.token({ oid: "0a1b" }))).toBe(`${issuer.url}#0a1b`);
    expect(await answer(await issuer.token(), by)).toBe(refused);
  });

  test("an e-mail address counts when the issuer verified it", async () => {
    const by = open({ claim: "email" });
    const email = "ada@example.com";
    expect(await by.check(await issuer.token({ email, email_verified: true }))).toBe(`${issuer.url}#${email}`);
    for (const email_verified of [undefined, false, "true", 1])
      expect(await answer(await issuer.token({ email, email_verified }), by)).toBe(refused);
  });

  test.each(["__proto__", "constructor", "toString"])("%s is no claim that a token has", async (claim) => {
    expect(await answer(await issuer.token(), open({ claim }))).toBe(refused);
  });
});

describe("the settings of an issuer", () => {
  const wrong = (settings: Record<string, string>): string => {
    try {
      parseConfig(settings);
      return "ok";
    } catch (error) {
      return (error as Error).message;
    }
  };

  test("are an issuer and an audience, with a claim that is usual", () => {
    const settings = { STEPVAULT_OIDC_ISSUER: "https://id.example/realms/a", STEPVAULT_OIDC_AUDIENCE: "stepvault" };
    const issuerUrl = "https://id.example/realms/a";
    expect(parseConfig(settings).oidc).toEqual({ issuer: issuerUrl, audience, jwksUrl: undefined, claim: "sub" });
    expect(parseConfig({}).oidc).toBeUndefined();
  });

  test.each([
    "http://id.example",
    "http://127.0.0.1.example",
    "http://localhost.example",
    "https://user:word@id.example",
    "https://id.example#ada",
    "https://id.example?tenant=1",
    `https://id.example/${"a".repeat(120)}`,
    " https://id.example",
    "ftp://id.example",
    "https:id.example",
  ])("%j is no issuer, and is not repeated", (url) => {
    const message = wrong({ STEPVAULT_OIDC_ISSUER: url, STEPVAULT_OIDC_AUDIENCE: "stepvault" });
    expect(message).toContain("STEPVAULT_OIDC_ISSUER: must be an https:// URL");
    expect(message).not.toContain("id.example");
  });

  test("half of them stop the start", () => {
    expect(wrong({ STEPVAULT_OIDC_ISSUER: "https://id.example" })).toContain("STEPVAULT_OIDC_AUDIENCE beside it");
    expect(wrong({ STEPVAULT_OIDC_AUDIENCE: "a", STEPVAULT_OIDC_JWKS_URL: "https://id.example" })).toMatch(
      /2 wrong.*AUDIENCE: must have STEPVAULT_OIDC_ISSUER.*JWKS_URL: must have/,
    );
  });
});
