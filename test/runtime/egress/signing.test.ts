/**
 * `secrets.sign`: what a step gets signed with a key that it does not hold. Goal: signatures that a verifier takes, only for
 * what the secret's policy allows, and a key that stays out of the sandbox. Method: steps in real hosts; the computation
 * itself is checked against published vectors in sign.test.ts.
 */
import { createHmac, createPublicKey, generateKeyPairSync, verify } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { secretPolicySchema } from "../../../protocol/secret-policy.ts";
import { SecretValue } from "../../../protocol/secret.ts";
import { expectNothingOf, type SealedWorld, securityOf, startSealedWorld } from "../../helpers/sealed.ts";
import type { StepRun } from "../../helpers/sandbox.ts";

const key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const pem = privateKey.export({ type: "pkcs8", format: "pem" });

let world: SealedWorld;
beforeAll(async () => {
  world = await startSealedWorld();
});
afterAll(async () => await world.close());

type Algorithm = "hmac" | "aws-sigv4" | "jwt";

async function run(
  language: "javascript" | "python",
  code: string,
  { value = key, sign = ["hmac", "aws-sigv4", "jwt"] as Algorithm[], sealed = true, limits = {} } = {},
): Promise<StepRun> {
  const policy = secretPolicySchema.parse({ sealed, hosts: ["*.amazonaws.com"], places: { sign } });
  return await world.run(code, new SecretValue("key", value, policy), { language, limits });
}

const attempt = (call: string): string => `try { return await ${call} } catch (e) { return [e.code, e.message] }`;

describe("a step gets", () => {
  test.each([
    ["javascript", "return await secrets.sign(<<secrets.key>>, { algorithm: 'hmac', data: params.approved })"],
    [
      "javascript",
      "return await secrets.sign(<<secrets.key>>, { algorithm: 'hmac', data: new TextEncoder().encode(params.approved) })",
    ],
    ["python", "import stepvault\nreturn stepvault.sign(<<secrets.key>>, algorithm='hmac', data=params['approved'])"],
    [
      "python",
      "import stepvault\nreturn stepvault.sign(<<secrets.key>>, algorithm='hmac', data=params['approved'].encode())",
    ],
  ] as const)("an HMAC (%s %#)", async (language, code) => {
    const { output } = await run(language, code);
    expect(output).toBe(createHmac("sha256", key).update(world.params.approved).digest("hex"));
  });
  test.each([
    [
      "javascript",
      "return await secrets.sign(<<secrets.key>>, { algorithm: 'jwt', type: 'ES256', header: { kid: 'k1' }, claims: { sub: 'me' } })",
    ],
    [
      "python",
      "import stepvault\nreturn stepvault.sign(<<secrets.key>>, algorithm='jwt', type='ES256', header={'kid': 'k1'}, claims={'sub': 'me'})",
    ],
  ] as const)("a token (%s)", async (language, code) => {
    const result = await run(language, code, { value: pem });
    const [header = "", claims = "", signature = ""] = (result.output as string).split(".");
    expect(JSON.parse(Buffer.from(header, "base64url").toString())).toEqual({ kid: "k1", alg: "ES256", typ: "JWT" });
    expect(JSON.parse(Buffer.from(claims, "base64url").toString())).toEqual({ sub: "me" });
    const options = {
      key: createPublicKey(publicKey.export({ type: "spki", format: "pem" })),
      dsaEncoding: "ieee-p1363",
    } as const;
    expect(verify("sha256", Buffer.from(`${header}.${claims}`), options, Buffer.from(signature, "base64url"))).toBe(
      true,
    );
    expectNothingOf(pem.split("\n")[1]!, result.output);
  });
  // From AWS's documentation: "GET Object" with a range, Signature Version 4 of S3.
  const signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
  test.each([
    [
      "javascript",
      "return await secrets.sign(<<secrets.key>>, { algorithm: 'aws-sigv4', accessKeyId: 'AKIAIOSFODNN7EXAMPLE', region: 'us-east-1', service: 's3', method: 'GET', url: new URL('https://examplebucket.s3.amazonaws.com/test.txt'), headers: { Range: 'bytes=0-9' }, date: new Date('2013-05-24T00:00:00Z') })",
    ],
    [
      "python",
      "import stepvault, datetime\nreturn stepvault.sign(<<secrets.key>>, algorithm='aws-sigv4', accessKeyId='AKIAIOSFODNN7EXAMPLE', region='us-east-1', service='s3', method='GET', url='https://examplebucket.s3.amazonaws.com/test.txt', headers={'Range': 'bytes=0-9'}, date=datetime.datetime(2013, 5, 24, tzinfo=datetime.UTC))",
    ],
  ] as const)("the headers of a request to AWS (%s)", async (language, code) => {
    const { output } = await run(language, code, { value: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" });
    expect(output).toMatchObject({
      "x-amz-date": "20130524T000000Z",
      authorization: expect.stringContaining(signature),
    });
  });
  test("the same from a readable secret, whose value it holds", async () => {
    const { output } = await run(
      "javascript",
      "return [<<secrets.key>>.length, await secrets.sign(<<secrets.key>>, { algorithm: 'hmac', data: 'x' })]",
      { sealed: false },
    );
    expect(output).toEqual([key.length, createHmac("sha256", key).update("x").digest("hex")]);
  });
});

describe("refused is", () => {
  test.each([
    [
      "an algorithm that the policy does not name",
      "{ algorithm: 'hmac', data: 'x' }",
      "ERR_SEALED_REFUSED",
      "place",
      ["jwt"],
    ],
    [
      "a request to a host that is not the secret's",
      "{ algorithm: 'aws-sigv4', accessKeyId: 'A', region: 'r', service: 's3', method: 'GET', url: 'https://evil.example/' }",
      "ERR_SEALED_REFUSED",
      "host",
      ["aws-sigv4"],
    ],
  ] as const)("%s", async (_, options, code, reason, sign) => {
    const result = await run("javascript", attempt(`secrets.sign(<<secrets.key>>, ${options})`), { sign: [...sign] });
    expect(result.output).toEqual([code, expect.stringContaining("the sealed secret key")]);
    expect(securityOf(result)).toMatchObject([{ action: "blocked", reason, secrets: ["key"], method: "SIGN" }]);
  });
  test.each([
    ["{ algorithm: 'none', data: 'x' }"],
    ["{ algorithm: 'hmac' }"],
    ["{ algorithm: 'hmac', data: 'x', my_pasted_key: 1 }"],
    ["{ algorithm: 'jwt', type: 'RS256', claims: {} }"],
  ])("%s, with a reason that shows nothing", async (options) => {
    const result = await run("javascript", attempt(`secrets.sign(<<secrets.key>>, ${options})`));
    expect(result.output).toEqual(["ERR_SIGN_INVALID", expect.not.stringMatching(/my_pasted_key|wJalr/)]);
  });
  test("what is no key, and in Python the error is one to catch", async () => {
    const { output } = await run("javascript", "try { await secrets.sign(1, {}) } catch (e) { return e.message }");
    expect(output).toContain("<<secrets.name>>");
    const code =
      "import stepvault\ntry: stepvault.sign(<<secrets.key>>, algorithm='none')\nexcept stepvault.SignError as error: return [error.code, str(error)]";
    expect((await run("python", code)).output).toEqual(["ERR_SIGN_INVALID", expect.stringContaining("options")]);
  });
  test("more of them than requests are allowed", async () => {
    const code = "for (let i = 0; i < 4; i++) await secrets.sign(<<secrets.key>>, { algorithm: 'hmac', data: 'x' })";
    expect((await run("javascript", code, { limits: { requestsMax: 3 } })).code).toBe("ERR_LIMIT_REQUESTS");
    expect((await run("javascript", code, { limits: { requestsMax: 4 } })).code).toBeUndefined();
  });
});
