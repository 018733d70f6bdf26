/**
 * `crypto.subtle` in a step, against Node's Web Crypto: what the step makes is checked here and the other way round, with
 * fixed vectors where there are some. What must be refused is refused as an error that the step can catch, and what
 * would take long is bounded. Few runs, many checks in each.
 */
import { createHash, createHmac, createVerify, generateKeyPairSync, pbkdf2Sync, hkdfSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Json } from "../../../protocol/job.ts";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

let sandbox: Sandbox;
beforeAll(() => {
  sandbox = openTestSandbox();
});
afterAll(async () => await sandbox.close());

const tools = `const { subtle } = crypto; const utf8 = (t) => new TextEncoder().encode(t);
const hex = (b) => new Uint8Array(b).toHex(); const b64 = (b) => new Uint8Array(b).toBase64(); const unb64 = (t) => Uint8Array.fromBase64(t);
const nameOf = async (f) => { try { await f(); return "passed" } catch (e) { return e.name } };
`;

async function run(code: string, params: Json = {}): Promise<Json> {
  const { output, outcome } = await runStep(sandbox, "javascript", tools + code, { params });
  if ("error" in outcome) throw outcome.error;
  return output ?? null;
}

describe("crypto.subtle computes what Node computes", () => {
  test("digests and HMACs", async () => {
    const output = await run(`const out = [];
      for (const hash of ["SHA-1", "SHA-256", "SHA-384", "sha-512"]) {
        out.push(hex(await subtle.digest(hash, utf8("abc"))));
        const key = await subtle.importKey("raw", utf8("key"), { name: "HMAC", hash }, false, ["sign", "verify"]);
        const mac = await subtle.sign("HMAC", key, utf8("data"));
        out.push(hex(mac), await subtle.verify("HMAC", key, mac, utf8("data")), await subtle.verify("HMAC", key, mac, utf8("date")));
      } return out`);
    const expected = ["sha1", "sha256", "sha384", "sha512"].flatMap((hash) => [
      createHash(hash).update("abc").digest("hex"),
      createHmac(hash, "key").update("data").digest("hex"),
      true,
      false,
    ]);
    expect(output).toEqual(expected);
  });
  test("keys derived from passwords and secrets", async () => {
    const output =
      await run(`const pw = await subtle.importKey("raw", utf8("pw"), "PBKDF2", false, ["deriveBits", "deriveKey"]);
      const ikm = await subtle.importKey("raw", utf8("ikm"), "HKDF", false, ["deriveBits"]);
      const pbkdf2 = { name: "PBKDF2", hash: "SHA-256", salt: utf8("salt"), iterations: 1000 };
      const aes = await subtle.deriveKey(pbkdf2, pw, { name: "AES-GCM", length: 256 }, true, ["encrypt"]);
      const mac = await subtle.deriveKey(pbkdf2, pw, { name: "HMAC", hash: "SHA-256" }, true, ["sign"]);
      return [hex(await subtle.deriveBits(pbkdf2, pw, 256)), hex(await subtle.exportKey("raw", aes)), (await subtle.exportKey("raw", mac)).byteLength,
        hex(await subtle.deriveBits({ name: "HKDF", hash: "SHA-256", salt: utf8("s"), info: utf8("i") }, ikm, 128))]`);
    const derived = pbkdf2Sync("pw", "salt", 1_000, 32, "sha256").toString("hex");
    expect(output).toEqual([
      derived,
      derived,
      64,
      Buffer.from(hkdfSync("sha256", "ikm", "s", "i", 16)).toString("hex"),
    ]);
  });
  test("AES in its three modes, and a message that was changed", async () => {
    const output = await run(`const out = [];
      for (const algorithm of [{ name: "AES-GCM", iv: new Uint8Array(12), additionalData: utf8("a") }, { name: "AES-CBC", iv: new Uint8Array(16) }, { name: "AES-CTR", counter: new Uint8Array(16), length: 64 }]) {
        const key = await subtle.importKey("raw", new Uint8Array(32).fill(7), algorithm.name, true, ["encrypt", "decrypt"]);
        const sealed = await subtle.encrypt(algorithm, key, utf8("secret text"));
        out.push(b64(sealed), new TextDecoder().decode(await subtle.decrypt(algorithm, key, sealed)));
        const changed = new Uint8Array(sealed); changed[0] ^= 1;
        if (algorithm.name === "AES-GCM") out.push(await nameOf(() => subtle.decrypt(algorithm, key, changed)));
      } return out`);
    const { subtle } = globalThis.crypto;
    const expected: string[] = [];
    for (const algorithm of [
      { name: "AES-GCM", iv: new Uint8Array(12), additionalData: Buffer.from("a") },
      { name: "AES-CBC", iv: new Uint8Array(16) },
      { name: "AES-CTR", counter: new Uint8Array(16), length: 64 },
    ]) {
      const key = await subtle.importKey("raw", new Uint8Array(32).fill(7), algorithm.name, true, ["encrypt"]);
      const sealed = await subtle.encrypt(algorithm, key, Buffer.from("secret text"));
      expected.push(Buffer.from(sealed).toString("base64"), "secret text");
      if (algorithm.name === "AES-GCM") expected.push("OperationError");
    }
    expect(output).toEqual(expected);
  });
  test("signatures with keys of PEM and JWK, both ways", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const ed = generateKeyPairSync("ed25519");
    const der = { type: "pkcs8", format: "der" } as const;
    const output = (await run(
      `const data = utf8("message");
      const rs = await subtle.importKey("pkcs8", unb64(params.rsa), { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }, false, ["sign"]);
      const ps = await subtle.importKey("pkcs8", unb64(params.rsa), { name: "RSA-PSS", hash: "SHA-256" }, false, ["sign"]);
      const es = await subtle.importKey("jwk", params.ec, { name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
      const ed = await subtle.importKey("pkcs8", unb64(params.ed), "Ed25519", false, ["sign"]);
      const pub = await subtle.importKey("spki", unb64(params.edPublic), "Ed25519", true, ["verify"]);
      const signed = await subtle.sign("Ed25519", ed, data);
      const pair = await subtle.generateKey({ name: "ECDSA", namedCurve: "P-384" }, false, ["sign", "verify"]);
      const own = await subtle.sign({ name: "ECDSA", hash: "SHA-384" }, pair.privateKey, data);
      return { rs: b64(await subtle.sign("RSASSA-PKCS1-v1_5", rs, data)), ps: b64(await subtle.sign({ name: "RSA-PSS", saltLength: 32 }, ps, data)),
        es: b64(await subtle.sign({ name: "ECDSA", hash: "SHA-256" }, es, data)), edOk: await subtle.verify("Ed25519", pub, signed, data),
        jwk: (await subtle.exportKey("jwk", es)).crv, own: await subtle.verify({ name: "ECDSA", hash: "SHA-384" }, pair.publicKey, own, data),
        shape: [rs.type, rs.extractable, rs.algorithm.name, rs.algorithm.modulusLength, [...rs.algorithm.publicExponent], rs.usages, pair.privateKey.extractable, pair.publicKey.extractable],
        sealed: await nameOf(() => subtle.exportKey("pkcs8", pair.privateKey)) }`,
      {
        rsa: rsa.privateKey.export(der).toString("base64"),
        ec: ec.privateKey.export({ format: "jwk" }) as Json,
        ed: ed.privateKey.export(der).toString("base64"),
        edPublic: ed.publicKey.export({ type: "spki", format: "der" }).toString("base64"),
      },
    )) as Record<string, Json>;
    const verify = (signature: unknown, key: object): boolean =>
      createVerify("sha256")
        .update("message")
        .verify(key as never, Buffer.from(signature as string, "base64"));
    expect(verify(output["rs"], rsa.publicKey)).toBe(true);
    expect(verify(output["ps"], { key: rsa.publicKey, padding: 6, saltLength: 32 })).toBe(true);
    expect(verify(output["es"], { key: ec.publicKey, dsaEncoding: "ieee-p1363" })).toBe(true);
    expect(output).toMatchObject({ edOk: true, jwk: "P-256", own: true, sealed: "InvalidAccessError" });
    expect(output["shape"]).toEqual(["private", false, "RSASSA-PKCS1-v1_5", 2048, [1, 0, 1], ["sign"], false, true]);
  });
  test("the signature of an AWS request and a JWT", async () => {
    const output = await run(`
      const hmac = async (key, text) => new Uint8Array(await subtle.sign("HMAC", await subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]), utf8(text)));
      let key = utf8("AWS4wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
      for (const part of ["20150830", "us-east-1", "iam", "aws4_request"]) key = await hmac(key, part);
      const text = "AWS4-HMAC-SHA256\\n20150830T123600Z\\n20150830/us-east-1/iam/aws4_request\\nf536975d06c0309214f805bb90ccff089219ecd68b2577efef23edd43b7e1a59";
      const url = (bytes) => bytes.toBase64({ alphabet: "base64url", omitPadding: true });
      const body = url(utf8('{"alg":"HS256","typ":"JWT"}')) + "." + url(utf8('{"sub":"1"}'));
      return [hex(await hmac(key, text)), body + "." + url(await hmac(utf8("secret"), body))]`);
    const body = `${Buffer.from('{"alg":"HS256","typ":"JWT"}').toString("base64url")}.${Buffer.from('{"sub":"1"}').toString("base64url")}`;
    expect(output).toEqual([
      // The signature of the example in AWS's description of Signature Version 4.
      "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
      `${body}.${createHmac("sha256", "secret").update(body).digest("base64url")}`,
    ]);
  });
});

describe("crypto.subtle refuses", () => {
  test("what is not in its list or beyond its bounds, as errors to catch", async () => {
    const output =
      await run(`const key = await subtle.importKey("raw", utf8("k"), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
      const pw = await subtle.importKey("raw", utf8("k"), "PBKDF2", false, ["deriveBits"]);
      const gcm = await subtle.importKey("raw", new Uint8Array(16), "AES-GCM", false, ["encrypt"]);
      const attempts = [
        () => subtle.digest("MD5", utf8("x")), () => subtle.digest("__proto__", utf8("x")), () => subtle.digest("SHA-256", "text"),
        () => subtle.digest({ name: "SHA-256", toJSON() { return { name: "MD5" } } }, utf8("x")),
        () => subtle.verify("HMAC", key, utf8("m"), utf8("d")), () => subtle.exportKey("raw", key), () => subtle.sign("HMAC", {}, utf8("x")),
        () => subtle.sign("HMAC", gcm, utf8("x")), () => subtle.decrypt({ name: "AES-GCM", iv: new Uint8Array(12) }, gcm, new Uint8Array(20)),
        () => subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: utf8("s"), iterations: 1e9 }, pw, 256),
        () => subtle.deriveBits({ name: "PBKDF2", hash: "SHA-256", salt: utf8("s"), iterations: 1 }, pw, 1e9),
        () => subtle.deriveKey({ name: "PBKDF2", hash: "SHA-256", salt: utf8("s"), iterations: 1 }, pw, { name: "AES-GCM", length: 256 }, true, ["encrypt"]),
        () => subtle.generateKey({ name: "RSA-PSS", hash: "SHA-256", modulusLength: 16384, publicExponent: new Uint8Array([1, 0, 1]) }, true, ["sign"]),
        () => subtle.generateKey({ name: "RSA-PSS", hash: "SHA-256", modulusLength: 2048, publicExponent: new Uint8Array([3]) }, true, ["sign"]),
        () => subtle.importKey("pem", utf8("x"), "AES-GCM", true, ["encrypt"]), () => subtle.importKey("raw", new Uint8Array(100000), "AES-GCM", true, ["encrypt"]),
        () => subtle.importKey("jwk", { kty: "oct", k: {} }, "AES-GCM", true, ["encrypt"]), () => new CryptoKey({}), () => new (key.constructor)(Symbol("key"), key),
      ];
      const out = []; for (const attempt of attempts) out.push(await nameOf(attempt)); return out`);
    expect(output).not.toContain("passed");
    for (const name of output as string[]) expect(name).toMatch(/^(TypeError|[A-Z]\w+Error)$/);
  });
  test("no host path or frame is in an error of it", async () => {
    const stack = await run(
      'try { await subtle.digest("MD5", utf8("x")) } catch (e) { return e.stack + JSON.stringify(Object.getOwnPropertyNames(e)) }',
    );
    expect(stack).not.toMatch(/node:|\/tmp|\/work|file:|runtime/);
  });
  test("long work ends at the run's own limits", async () => {
    const code = `${tools}const pw = await subtle.importKey("raw", utf8("k"), "PBKDF2", false, ["deriveBits"]);
      for (;;) await subtle.deriveBits({ name: "PBKDF2", hash: "SHA-512", salt: utf8("s"), iterations: 10_000_000 }, pw, 512)`;
    const wall = await runStep(sandbox, "javascript", code, { limits: { wallTimeMsMax: 700 } });
    expect(wall.code).toBe("ERR_LIMIT_WALL_TIME");
    expect(wall.outcome.usage.wallMs).toBeLessThan(3_000);
    const cpu = await runStep(sandbox, "javascript", code, { limits: { cpuTimeMsMax: 500 } });
    expect(cpu.code).toBe("ERR_LIMIT_CPU_TIME");
  });
  test("a flood of calls is counted", async () => {
    const code = `${tools}await Promise.all(Array.from({ length: 100 }, () => subtle.digest("SHA-256", utf8("x"))))`;
    const { code: failure } = await runStep(sandbox, "javascript", code, { limits: { bridgeCallsMax: 50 } });
    expect(failure).toBe("ERR_LIMIT_BRIDGE_CALLS");
  });
});
