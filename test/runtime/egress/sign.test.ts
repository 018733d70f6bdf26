/**
 * What the broker computes with a sealed key. Goal: signatures that others accept, keys of the wrong kind refused, and no
 * word of a key in an error. Method: published vectors, node:crypto as the oracle of random cases, and options and keys as
 * somebody hostile or careless would give them. Options go through the schema first, as in a run. AWS requests have a
 * file of their own.
 */
import { createHmac, generateKeyPairSync, type KeyObject, verify } from "node:crypto";
import { inspect } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StepvaultError } from "../../../protocol/error.ts";
import { type SignOptions, signOptionsSchema } from "../../../runtime/bridge/sign.ts";
import { sign } from "../../../runtime/egress/sign.ts";

type Answer = Partial<{ signature: string; headers: [string, string][]; token: string }>;

const signWith = async (key: string, options: unknown): Promise<Answer> =>
  await sign(key, signOptionsSchema.parse(options));
const accepts = (options: unknown): boolean => signOptionsSchema.safeParse(options).success;
const base64 = (text: string | Buffer): string => Buffer.from(text as string).toString("base64");

/** Fails unless the key is refused for this reason, with no 8 characters of it or of what was to be signed. */
async function expectRefused(key: string, options: Record<string, unknown>, reason: RegExp): Promise<void> {
  const { success, data } = signOptionsSchema.safeParse(options);
  // What the schema would not let pass goes on as it is.
  const error: unknown = await sign(key, success ? data : (options as never)).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(StepvaultError);
  expect(error).toMatchObject({ code: "ERR_SIGN_INVALID", message: expect.stringMatching(/^Cannot sign with /) });
  expect((error as Error).message).toMatch(reason);
  const shown = inspect(error, { depth: 9, showHidden: true });
  const words = key.replaceAll(/-----[A-Z0-9 ]+-----|\\n/g, "\n").split("\n");
  const signed = [options["data"], JSON.stringify(options["claims"])].filter((text) => typeof text === "string");
  for (const text of [...words, ...signed]) {
    for (let at = 0; at + 8 <= text.length; at++) expect(shown).not.toContain(text.slice(at, at + 8));
  }
  expect(shown).not.toMatch(/openssl|asn1|decoder|routines|:error:/i);
}

describe("HMAC", () => {
  const long = "Test Using Larger Than Block-Size Key - Hash Key First";
  const longer =
    "This is a test using a larger than block-size key and a larger than block-size data. " +
    "The key needs to be hashed before being used by the HMAC algorithm.";
  /** Key in hex, data, hash, signature; of RFC 4231 and, for SHA-1, of RFC 2202 and RFC 6234. */
  const vectors = `
    0b*20  | Hi There | SHA-1   | b617318655057264e28bc0b6fb378c8ef146be00
    0b*20  | Hi There | SHA-256 | b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7
    0b*20  | Hi There | SHA-384 | afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6
    0b*20  | Hi There | SHA-512 | 87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cdedaa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854
    4a656665*1 | what do ya want for nothing? | SHA-256 | 5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843
    4a656665*1 | what do ya want for nothing? | SHA-384 | af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649
    4a656665*1 | what do ya want for nothing? | SHA-512 | 164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737
    aa*80  | ${long} | SHA-1 | aa4ae5e15272d00e95705637ce8a3b55ed402112
    aa*131 | ${long} | SHA-256 | 60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54
    aa*131 | ${long} | SHA-384 | 4ece084485813e9088d2c63a041bc5b44f9ef1012a2b588f3cd11f05033ac4c60c2ef6ab4030fe8296248df163f44952
    aa*131 | ${longer} | SHA-256 | 9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2
    aa*131 | ${longer} | SHA-512 | e37b6a775dc87dbaa4dfa9f96e5e3ffddebd71f8867289865df5a32d20cdc944b6022cac3c4982b10d5eeb55c3e4de15134676fb6de0446065c97440fa8c6a58`
    .trim()
    .split("\n")
    .map((line) => line.split("|").map((field) => field.trim()));

  test.each(vectors)(
    "gives the RFC's value with key %s over %s by %s",
    async (key = "", data = "", hash, signature) => {
      const [digits = "", times] = key.split("*");
      const options = { algorithm: "hmac", hash, data: base64(data), keyEncoding: "hex" };
      expect(await signWith(digits.repeat(Number(times)), options)).toEqual({ signature });
    },
  );

  test("signs the JWS of RFC 7515, appendix A.1", async () => {
    const key = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    const claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const data = base64(`eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${claims}`);
    const signature = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    // The RFC leaves padding out, as a JWK does; with padding the key is the same.
    for (const spelling of [key, `${key}==`]) {
      const options = { algorithm: "hmac", data, encoding: "base64url", keyEncoding: "base64" };
      expect(await signWith(spelling, options)).toEqual({ signature });
    }
  });

  test("is what node:crypto computes, for any key, data and encoding", async () => {
    const hash = fc.constantFrom("SHA-1", "SHA-256", "SHA-384", "SHA-512");
    const encoding = fc.constantFrom("hex" as const, "base64" as const, "base64url" as const);
    const keyEncoding = fc.constantFrom("utf8" as const, "hex" as const, "base64" as const);
    const key = fc.string({ unit: "grapheme", minLength: 1, maxLength: 300 }).map((text) => Buffer.from(text));
    const data = fc.uint8Array({ maxLength: 2_000 }).map((bytes) => Buffer.from(bytes));
    await fc.assert(
      fc.asyncProperty(
        fc.record({ hash, encoding, keyEncoding, key, data }),
        async ({ hash, encoding, keyEncoding, key, data }) => {
          const expected = createHmac(hash.replace("-", ""), key).update(data).digest(encoding);
          const options = { algorithm: "hmac", hash, encoding, keyEncoding, data: base64(data) };
          const text = key.toString(keyEncoding);
          expect(await signWith(text, options)).toEqual({ signature: expected });
        },
      ),
    );
  });

  test("refuses a key that is not what its encoding says, and an empty one", async () => {
    const options = { algorithm: "hmac", data: base64("an order of 120 euros") };
    const key = "correct horse battery staple";
    for (const wrong of [key, "0123456789abcdef0", "0123456789abcdefgh", "0x0123456789abcdef"])
      await expectRefused(wrong, { ...options, keyEncoding: "hex" }, /not the hex/);
    for (const wrong of [key, "c2VjcmV0LWtleQ=", "c2VjcmV0_WtleQ==", "c2VjcmV0LWtleQ==\n", "c2VjcmV0c"])
      await expectRefused(wrong, { ...options, keyEncoding: "base64" }, /not the base64/);
    await expectRefused("", options, /empty/);
  });
});

describe("JSON Web Tokens", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2_048 });
  const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pem = (key: KeyObject, type: "pkcs8" | "pkcs1" | "sec1" = "pkcs8", extra: object = {}): string =>
    String(key.export({ type, format: "pem", ...extra } as never));
  const parts = (token = ""): { header: unknown; claims: unknown; input: Buffer; signature: Buffer } => {
    const [header = "", claims = "", signature = ""] = token.split(".");
    const parse = (text: string): unknown => JSON.parse(Buffer.from(text, "base64url").toString());
    return {
      header: parse(header),
      claims: parse(claims),
      input: Buffer.from(`${header}.${claims}`),
      signature: Buffer.from(signature, "base64url"),
    };
  };
  const verifies = (token: string | undefined, key: KeyObject): boolean => {
    const { input, signature } = parts(token);
    return verify("sha256", input, { key, dsaEncoding: "ieee-p1363" }, signature);
  };

  test("are those that others publish, for HS256", async () => {
    // The example of jwt.io.
    const claims = { sub: "1234567890", name: "John Doe", iat: 1_516_239_022 };
    expect(await signWith("your-256-bit-secret", { algorithm: "jwt", type: "HS256", claims })).toEqual({
      token:
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    });
  });

  const spellings: [name: string, type: "RS256" | "ES256", key: string][] = [
    ["PKCS#8 of RSA", "RS256", pem(rsa.privateKey)],
    ["PKCS#1", "RS256", pem(rsa.privateKey, "pkcs1")],
    ["PKCS#8 of EC", "ES256", pem(ec.privateKey)],
    ["SEC1", "ES256", pem(ec.privateKey, "sec1")],
    ["line ends as in JSON", "RS256", pem(rsa.privateKey).replaceAll("\n", "\\n")],
    ["line ends of Windows as in JSON", "RS256", pem(rsa.privateKey).replaceAll("\n", "\\r\\n")],
    [
      "parameters of the curve in front",
      "ES256",
      `-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n${pem(ec.privateKey, "sec1")}`,
    ],
    ["text in front", "RS256", `Bag Attributes\n    friendlyName: key\n${pem(rsa.privateKey)}`],
  ];
  test.each(spellings)("are signed with a key in %s", async (_name, type, key) => {
    const options = { algorithm: "jwt", type, header: { kid: "key-1" }, claims: { sub: "42" } };
    const { token } = await signWith(key, options);
    expect(parts(token)).toMatchObject({ header: { alg: type, typ: "JWT", kid: "key-1" }, claims: { sub: "42" } });
    expect(verifies(token, type === "RS256" ? rsa.publicKey : ec.publicKey)).toBe(true);
    expect(token).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(parts(token).signature).toHaveLength(type === "RS256" ? 256 : 64);
  });

  test("verify and hold the claims and header parameters, whatever these are", async () => {
    const json = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue()).map((value): object => {
      return JSON.parse(JSON.stringify(value)) as object;
    });
    const fixed = ["alg", "typ", "b64", "crit"];
    const header = json.filter((value) => fixed.every((name) => !Object.hasOwn(value, name)));
    const type = fc.constantFrom("HS256", "RS256", "ES256");
    const check = async (type: string, header: object, claims: object): Promise<void> => {
      const key = { HS256: "a shared key", RS256: pem(rsa.privateKey), ES256: pem(ec.privateKey) }[type] ?? "";
      const { token } = await signWith(key, { algorithm: "jwt", type, header, claims });
      const { input, signature, ...read } = parts(token);
      expect(JSON.stringify(read.claims)).toBe(JSON.stringify(claims));
      expect(read.header).toEqual({ ...header, alg: type, typ: "JWT" });
      const good =
        type === "HS256"
          ? createHmac("sha256", key).update(input).digest().equals(signature)
          : verifies(token, type === "RS256" ? rsa.publicKey : ec.publicKey);
      expect(good).toBe(true);
    };
    await fc.assert(fc.asyncProperty(type, header, json, check));
  });

  test("have the algorithm of their type and no other", async () => {
    const options = { algorithm: "jwt", type: "RS256", claims: {} };
    for (const header of [{ alg: "none" }, { alg: "RS256" }, { typ: "at+jwt" }, { b64: false }, { crit: ["b64"] }])
      expect(accepts({ ...options, header })).toBe(false);
    // Past the schema, nothing is overridden either.
    const forced = { ...options, header: { alg: "none", typ: "x" } } as unknown as SignOptions;
    const { token } = (await sign(pem(rsa.privateKey), forced)) as Answer;
    expect(parts(token).header).toEqual({ alg: "RS256", typ: "JWT" });
  });

  test("hold a key named __proto__ as data, which changes nothing else", async () => {
    const text = '{"__proto__":{"admin":true},"constructor":{"prototype":{"admin":true}},"toJSON":"x","sub":"1"}';
    const options: unknown = JSON.parse(`{"algorithm":"jwt","type":"HS256","header":${text},"claims":${text}}`);
    const { token = "" } = await signWith("a shared key", options);
    const [, claims = ""] = token.split(".");
    expect(Buffer.from(claims, "base64url").toString()).toBe(text);
    expect(parts(token).header).toMatchObject({ alg: "HS256", typ: "JWT" });
    expect(({} as { admin?: unknown }).admin).toBeUndefined();
    expect(accepts(JSON.parse('{"__proto__":{"algorithm":"jwt","type":"HS256","claims":{}}}'))).toBe(false);
    expect(accepts(JSON.parse('{"algorithm":"jwt","type":"HS256","claims":{},"__proto__":{}}'))).toBe(false);
  });

  test("leave the event loop free while RSA and EC keys sign", async () => {
    for (const [type, key] of [
      ["RS256", pem(rsa.privateKey)],
      ["ES256", pem(ec.privateKey)],
    ] as const) {
      let settled = false;
      const signing = signWith(key, { algorithm: "jwt", type, claims: {} }).then(() => (settled = true));
      // What is computed on this thread settles among these, before the loop turns.
      for (let turn = 0; turn < 100; turn++) await Promise.resolve();
      expect(settled).toBe(false);
      await signing;
    }
  });

  const encrypted = { cipher: "aes-256-cbc", passphrase: "passphrase" };
  const of = (label: string, body: string): string => `-----BEGIN ${label}-----\n${body}\n-----END ${label}-----\n`;
  const spki = rsa.publicKey.export({ type: "spki", format: "pem" });
  const curve = (namedCurve: string): string => pem(generateKeyPairSync("ec", { namedCurve }).privateKey);
  const weak = (modulusLength: number): string => pem(generateKeyPairSync("rsa", { modulusLength }).privateKey);
  /** PKCS#1 with the numbers of no key that works, as finding those of this size takes a minute. */
  function madeUpRsa(bits: number): string {
    const der = (tag: number, body: Buffer) =>
      Buffer.concat([Buffer.from([tag, 0x82, body.length >> 8, body.length & 255]), body]);
    const number = Buffer.alloc(bits / 8 + 1, 0xff).fill(0, 0, 1);
    const numbers = [Buffer.of(0), number, Buffer.of(3), ...Array.from({ length: 6 }, () => number)];
    return of("RSA PRIVATE KEY", base64(der(0x30, Buffer.concat(numbers.map((body) => der(0x02, body))))));
  }
  const wrongKeys: [name: string, type: "RS256" | "ES256", key: string, reason: RegExp][] = [
    ["a public key", "RS256", spki, /no private key/],
    ["a public key of PKCS#1", "RS256", rsa.publicKey.export({ type: "pkcs1", format: "pem" }), /no private key/],
    ["a certificate", "RS256", spki.replaceAll("PUBLIC KEY", "CERTIFICATE"), /no private key/],
    ["an OpenSSH key", "ES256", of("OPENSSH PRIVATE KEY", base64("openssh-key-v1 and so on")), /no private key/],
    ["an encrypted key of PKCS#8", "RS256", pem(rsa.privateKey, "pkcs8", encrypted), /encrypted/],
    ["an encrypted key of PKCS#1", "RS256", pem(rsa.privateKey, "pkcs1", encrypted), /encrypted/],
    ["an encrypted key of SEC1", "ES256", pem(ec.privateKey, "sec1", encrypted), /encrypted/],
    ["garbage", "RS256", of("PRIVATE KEY", base64("nothing that ASN.1 would know")), /cannot be read/],
    ["no base64", "ES256", of("PRIVATE KEY", "!!! not even base64 !!!"), /cannot be read/],
    ["half of a key", "RS256", pem(rsa.privateKey).slice(0, 800), /cannot be read/],
    ["a public key called a private one", "RS256", spki.replaceAll("PUBLIC", "PRIVATE"), /cannot be read/],
    ["a password", "RS256", "correct horse battery staple", /one PEM block and holds 0/],
    ["two keys", "RS256", pem(rsa.privateKey) + pem(ec.privateKey), /one PEM block and holds 2/],
    ["an EC key for RS256", "RS256", pem(ec.privateKey), /no RSA key/],
    ["an RSA key for ES256", "ES256", pem(rsa.privateKey), /no EC key on the curve P-256/],
    ["a key on P-384", "ES256", curve("P-384"), /no EC key on the curve P-256/],
    ["a key on secp256k1", "ES256", curve("secp256k1"), /no EC key on the curve P-256/],
    ["an Ed25519 key", "ES256", pem(generateKeyPairSync("ed25519").privateKey), /no EC key on the curve P-256/],
    ["an RSA-PSS key", "RS256", pem(generateKeyPairSync("rsa-pss", { modulusLength: 2_048 }).privateKey), /no RSA key/],
    ["an RSA key of 512 bits", "RS256", weak(512), /has 512 bits, and 2048 to 8192/],
    ["an RSA key of 8200 bits", "RS256", madeUpRsa(8_200), /has 8200 bits/],
    ["an RSA key of 2047 bits", "RS256", weak(2_047), /has 2047 bits/],
  ];
  test.each(wrongKeys)("are not signed with %s", async (_name, type, key, reason) => {
    await expectRefused(key, { algorithm: "jwt", type, claims: { amount: "one million" } }, reason);
  });
});

test("a failure that nobody thought of says nothing of its cause", async () => {
  const key = "correct horse battery staple";
  // Node's error of a URL holds it.
  await expectRefused(key, { algorithm: "aws-sigv4", url: key, headers: [] }, /the computation failed/);
  await expectRefused(key, { algorithm: "hmac", hash: key, data: "", keyEncoding: "utf8" }, /the computation failed/);
});

describe("options of a signature", () => {
  const hmac = { algorithm: "hmac", data: "" };
  const jwt = { algorithm: "jwt", type: "HS256", claims: {} };
  const aws = {
    algorithm: "aws-sigv4",
    accessKeyId: "AKIDEXAMPLE",
    region: "us-east-1",
    service: "s3",
    method: "GET",
    url: "https://example.amazonaws.com/",
    bodyHash: "UNSIGNED-PAYLOAD",
  };

  test("have bounds, met at their edges", () => {
    const data = (bytes: number) => ({ ...hmac, data: base64(Buffer.alloc(bytes)) });
    expect(accepts(data(10 * 1024 * 1024))).toBe(true);
    expect(accepts(data(10 * 1024 * 1024 + 3))).toBe(false);
    const claims = (bytes: number) => ({ ...jwt, claims: { a: "é".repeat((bytes - 8) / 2) } });
    expect(accepts(claims(64 * 1024))).toBe(true);
    expect(accepts(claims(64 * 1024 + 2))).toBe(false);
    const header = (bytes: number) => ({ ...jwt, header: { a: "x".repeat(bytes - 8) } });
    expect(accepts(header(8 * 1024))).toBe(true);
    expect(accepts(header(8 * 1024 + 1))).toBe(false);
    const headers = (count: number, value: string) => ({
      ...aws,
      headers: Array.from({ length: count }, () => ["a", value]),
    });
    expect(accepts(headers(100, "x".repeat(8_192)))).toBe(true);
    expect(accepts(headers(101, ""))).toBe(false);
    expect(accepts(headers(1, "x".repeat(8_193)))).toBe(false);
    const url = (characters: number) => ({ ...aws, url: aws.url.padEnd(characters, "x") });
    expect(accepts(url(16 * 1024))).toBe(true);
    expect(accepts(url(16 * 1024 + 1))).toBe(false);
  });

  test("are refused where a signature would be ambiguous or of something else", () => {
    for (const good of [hmac, jwt, aws, { ...aws, date: "1970-01-01T00:00:00Z" }]) expect(accepts(good)).toBe(true);
    const wrong = [
      ...["AAA", "AA=A", "A-_=", "AAAA\n", 5, null].map((data) => ({ ...hmac, data })),
      ...["MD5", "sha256"].map((hash) => ({ ...hmac, hash })),
      ...[[], "{}", null, undefined, 5].map((claims) => ({ ...jwt, claims })),
      ...[[], "{}", null, 5].map((header) => ({ ...jwt, header })),
      ...["none", "HS512", "hs256"].map((type) => ({ ...jwt, type })),
      ...["a\nhost:b", "a\0", "é", "a\r"].map((value) => ({ ...aws, headers: [["a", value]] })),
      ...["", "a b", "a:", "a\n"].map((name) => ({ ...aws, headers: [[name, ""]] })),
      ...["ftp://a/", "https://u:p@a/", "/", "https://", "file:///etc/passwd"].map((url) => ({ ...aws, url })),
      ...["a/b", "a,b", "", "a\n"].flatMap((text) => [
        { ...aws, region: text },
        { ...aws, accessKeyId: text },
      ]),
      ...["2015-08-30", "20150830T123600Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"].map((date) => ({
        ...aws,
        date,
      })),
      ...["", "0".repeat(63), "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"].map((bodyHash) => ({ ...aws, bodyHash })),
      { ...aws, sessionToken: "a b" },
      { ...aws, method: "GET /" },
      { ...hmac, key: "another" },
      { ...hmac, algorithm: "rsa" },
    ];
    expect(wrong.filter(accepts)).toEqual([]);
  });

  test("may be nested, and not so deeply that this takes time or the stack", () => {
    const claims = (levels: number): unknown => JSON.parse(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`);
    expect(accepts({ ...jwt, claims: claims(100) })).toBe(true);
    expect(accepts({ ...jwt, claims: claims(101) })).toBe(false);
    const startedAt = performance.now();
    expect(accepts({ ...jwt, claims: claims(1_000_000) })).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});
