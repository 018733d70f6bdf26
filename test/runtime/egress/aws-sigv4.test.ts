/**
 * Requests signed for AWS. Goal: AWS accepts them as the broker sends them. Method: the AWS SigV4 test suite as botocore
 * and smithy-rs hold it, the examples of the Amazon S3 API Reference, and beyond these the canonical form that AWS describes,
 * written out by hand and signed here. Options go through the schema first, as in a run.
 */
import { createHash, createHmac } from "node:crypto";
import { describe, expect, test } from "vitest";
import { signOptionsSchema } from "../../../runtime/bridge/sign.ts";
import { sign } from "../../../runtime/egress/sign.ts";

type Headers = [name: string, value: string][];

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

const secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const suite = {
  algorithm: "aws-sigv4",
  accessKeyId: "AKIDEXAMPLE",
  region: "us-east-1",
  service: "service",
  method: "GET",
  url: "https://example.amazonaws.com/",
  bodyHash: sha256(""),
  date: "2015-08-30T12:36:00Z",
};

async function headersOf(options: object, key = secretKey): Promise<Headers> {
  const answer = await sign(key, signOptionsSchema.parse({ ...suite, ...options }));
  return "headers" in answer ? answer.headers : [];
}

async function signatureOf(options: object, key?: string): Promise<string | undefined> {
  const [authorization] = await headersOf(options, key);
  return authorization?.[1].split("Signature=")[1];
}

interface Vector {
  readonly name: string;
  readonly request: string;
  readonly headers?: Headers;
  readonly body?: string;
  readonly sessionToken?: string;
  readonly signed?: string;
  readonly signature: string;
}

const vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const unreserved = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

// get-utf8 and get-space are of a request line with raw bytes, which no URL has; get-header-value-multiline is of a
// header with line breaks, which HTTP no longer has.
const plainVectors = `
  get-vanilla | GET / | ${vanilla}
  get-vanilla-query | GET /? | ${vanilla}
  get-vanilla-empty-query-key | GET /?Param1=value1 | a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb
  get-vanilla-query-order-key-case | GET /?Param2=value2&Param1=value1 | b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500
  get-vanilla-query-order-key | GET /?Param1=value2&Param1=Value1 | eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1
  get-vanilla-query-order-value | GET /?Param1=value2&Param1=value1 | 5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694
  get-vanilla-query-order-encoded | GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1 | 371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac
  get-vanilla-query-unreserved | GET /?${unreserved}=${unreserved} | 9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197
  get-vanilla-utf8-query | GET /?ሴ=bar | 2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04
  get-unreserved | GET /${unreserved} | 07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f
  get-relative | GET /example/.. | ${vanilla}
  get-relative-relative | GET /example1/example2/../.. | ${vanilla}
  get-slash | GET // | ${vanilla}
  get-slash-dot-slash | GET /./ | ${vanilla}
  get-slash-pointless-dot | GET /./example | ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5
  get-slashes | GET //example// | 9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84
  get-special-character | GET /example/$delete | a853c9b21b528b19643d00910d35b83a10c366a10833ceefb45edd6c80e40f27
  post-vanilla | POST / | 5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b
  post-vanilla-query | POST /?Param1=value1 | 28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11`
  .trim()
  .split("\n")
  .map((line): Vector => {
    const [name = "", request = "", signature = ""] = line.split("|").map((field) => field.trim());
    return { name, request, signature };
  });

const form = "application/x-www-form-urlencoded";
const withMine = { signed: "host;my-header1;x-amz-date" };
const withType = { request: "POST /", body: "Param1=value1", signed: "content-type;host;x-amz-date" };
const withToken = { signed: "host;x-amz-date;x-amz-security-token" };
const mine = (...values: string[]) => values.map((value): Headers[number] => ["My-Header1", value]);
const vectorsWithHeaders: Vector[] = [
  {
    ...withMine,
    name: "get-header-key-duplicate",
    request: "GET /",
    headers: mine("value2", "value2", "value1"),
    signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
  },
  {
    ...withMine,
    name: "get-header-value-order",
    request: "GET /",
    headers: mine("value4", "value1", "value3", "value2"),
    signature: "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01",
  },
  {
    name: "get-header-value-trim",
    request: "GET /",
    headers: [...mine(" value1"), ["My-Header2", ' "a   b   c"']],
    signed: "host;my-header1;my-header2;x-amz-date",
    signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
  },
  {
    ...withMine,
    name: "post-header-key-sort",
    request: "POST /",
    headers: mine("value1"),
    signature: "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
  },
  {
    ...withMine,
    name: "post-header-value-case",
    request: "POST /",
    headers: mine("VALUE1"),
    signature: "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
  },
  {
    ...withType,
    name: "post-x-www-form-urlencoded",
    headers: [["Content-Type", form]],
    signature: "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
  },
  {
    ...withType,
    name: "post-x-www-form-urlencoded-parameters",
    headers: [["Content-Type", `${form}; charset=utf8`]],
    signature: "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe",
  },
  {
    ...withToken,
    name: "get-vanilla-with-session-token",
    request: "GET /",
    sessionToken: "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267",
    signature: "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
  },
  {
    ...withToken,
    name: "post-sts-header-before",
    request: "POST /",
    sessionToken:
      "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
    signature: "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
  },
];

test.each([...plainVectors, ...vectorsWithHeaders])("signs $name of the AWS test suite", async (vector) => {
  const { request, headers = [], body = "", sessionToken, signed = "host;x-amz-date", signature } = vector;
  const [method, target = ""] = request.split(" ");
  const given = [["Host", "example.amazonaws.com"], ...headers, ["X-Amz-Date", "20150830T123600Z"]];
  const url = `https://example.amazonaws.com${target}`;
  const scope = "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request";
  expect(await headersOf({ method, url, headers: given, bodyHash: sha256(body), sessionToken })).toEqual([
    ["authorization", `AWS4-HMAC-SHA256 ${scope}, SignedHeaders=${signed}, Signature=${signature}`],
    ["x-amz-date", "20150830T123600Z"],
    ...(sessionToken === undefined ? [] : [["x-amz-security-token", sessionToken]]),
  ]);
});

const bucket = "https://examplebucket.s3.amazonaws.com";
const s3Examples = [
  {
    name: "GET Object",
    request: { url: `${bucket}/test.txt`, headers: [["Range", "bytes=0-9"]] },
    signed: "host;range;x-amz-content-sha256;x-amz-date",
    signature: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  },
  {
    name: "PUT Object",
    request: {
      method: "PUT",
      url: `${bucket}/test$file.text`,
      headers: [
        ["Date", "Fri, 24 May 2013 00:00:00 GMT"],
        ["x-amz-storage-class", "REDUCED_REDUNDANCY"],
      ],
      bodyHash: sha256("Welcome to Amazon S3."),
    },
    signed: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
    signature: "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  },
  {
    name: "GET Bucket Lifecycle",
    request: { url: `${bucket}/?lifecycle` },
    signed: "host;x-amz-content-sha256;x-amz-date",
    signature: "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  },
  {
    name: "Get Bucket (List Objects)",
    request: { url: `${bucket}/?prefix=J&max-keys=2` },
    signed: "host;x-amz-content-sha256;x-amz-date",
    signature: "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
  },
];

test.each(s3Examples)("signs $name of the S3 documentation", async ({ request, signed, signature }) => {
  const s3 = { accessKeyId: "AKIAIOSFODNN7EXAMPLE", service: "s3", date: "2013-05-24T00:00:00Z" };
  const headers = await headersOf({ ...s3, ...request }, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
  expect(headers[0]?.[1]).toContain(`SignedHeaders=${signed}, Signature=${signature}`);
  expect(headers.slice(1)).toEqual([
    ["x-amz-date", "20130524T000000Z"],
    ["x-amz-content-sha256", request.bodyHash ?? sha256("")],
  ]);
});

describe("a request for AWS", () => {
  /** The signature of a request with this path and query in canonical form, and no headers of its own. */
  function expectedFor(path: string, { query = "", service = "service", host = "example.amazonaws.com" } = {}): string {
    const hash = service === "s3" ? [`x-amz-content-sha256:${sha256("")}`] : [];
    const headers = [`host:${host}`, ...hash, "x-amz-date:20150830T123600Z"];
    const names = headers.map((line) => line.split(":")[0]).join(";");
    const canonical = ["GET", path, query, ...headers, "", names, sha256("")].join("\n");
    const scope = ["20150830", "us-east-1", service, "aws4_request"];
    const toSign = ["AWS4-HMAC-SHA256", "20150830T123600Z", scope.join("/"), sha256(canonical)].join("\n");
    const mac = (key: Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
    return [...scope, toSign].reduce(mac, Buffer.from(`AWS4${secretKey}`)).toString("hex");
  }
  const at = async (target: string, service = "service") =>
    await signatureOf({ service, url: `https://example.amazonaws.com/${target}` });

  test("has its encoded path encoded once more", async () => {
    const url = "https://tj9n5r0m12.execute-api.us-east-1.amazonaws.com/test/@connections/JBDvjfGEIAMCERw%3D";
    // double-encode-path of smithy-rs.
    expect(await signatureOf({ accessKeyId: "ANOTREAL", method: "POST", url }, "notrealrnrELgWzOk3IfjzDKtFBhDby")).toBe(
      "57d157672191bac40bae387e48bbe14b15303c001fdbb01f4abf295dccb09705",
    );
    expect(expectedFor("/")).toBe(vanilla);
    expect(await at("ሴ x%2Fy%zz")).toBe(expectedFor("/%25E1%2588%25B4%2520x%252Fy%25zz"));
  });

  test("has its path as it stands when it is for S3, in one spelling", async () => {
    const expected = (path: string) => expectedFor(path, { service: "s3" });
    expect(await at("a$b~cሴ!*'()", "s3")).toBe(expected("/a%24b~c%E1%88%B4%21%2A%27%28%29"));
    expect(await at("a%24b%7Ec%e1%88%b4%0a%ff", "s3")).toBe(expected("/a%24b~c%E1%88%B4%0A%FF"));
    expect(await at("a%2524b%2Fc%zz", "s3")).toBe(expected("/a%2524b%2Fc%25zz"));
    expect(await at("my-object//example//photo.user", "s3")).toBe(expected("/my-object//example//photo.user"));
  });

  test("has a query in one spelling, in which a plus sign is a blank", async () => {
    const expected = (query: string) => expectedFor("/", { query });
    expect(await at("?d&&a=b+c")).toBe(expected("a=b%20c&d="));
    expect(await at("?a=b%2Bc%0a&a=B")).toBe(expected("a=B&a=b%2Bc%0A"));
    expect(await at("?a/b=c=d/e&a=")).toBe(expected("a=&a%2Fb=c%3Dd%2Fe"));
    expect(await at("?=x&100%=é&%7e='")).toBe(expected("=x&100%25=%C3%A9&~=%27"));
  });

  test("loses its old signature, and what does not arrive as it was sent is not signed", async () => {
    const headers = [
      ["Authorization", "AWS4-HMAC-SHA256 old"],
      ["X-AMZ-DATE", "20010101T000000Z"],
      ["Host", "elsewhere.example"],
      ["User-Agent", "step"],
      ["Content-Length", "3"],
      ["Connection", "close"],
    ];
    expect(await signatureOf({ headers })).toBe(vanilla);
    const sessionToken = "new";
    const old = [["X-Amz-Security-Token", "old"]];
    expect(await signatureOf({ sessionToken, headers: old })).toBe(await signatureOf({ sessionToken }));
  });

  test("is signed for its method in capitals and its host, with the port that is not the scheme's own", async () => {
    expect(await signatureOf({ method: "get", url: "https://example.amazonaws.com:443/" })).toBe(vanilla);
    expect(await signatureOf({ url: "http://EXAMPLE.amazonaws.com:80/#top" })).toBe(vanilla);
    for (const host of ["example.amazonaws.com:8443", "[2001:db8::1]:9000"])
      expect(await signatureOf({ url: `https://${host}/` })).toBe(expectedFor("/", { host }));
  });

  test("names its body's hash where the receiver cannot know it, or the step asks for it", async () => {
    const added = async (options: object) => (await headersOf(options)).slice(2);
    expect(await added({})).toEqual([]);
    for (const service of ["s3", "s3express", "s3-outposts", "s3-object-lambda"])
      expect(await added({ service })).toEqual([["x-amz-content-sha256", sha256("")]]);
    expect(await added({ bodyHash: "UNSIGNED-PAYLOAD" })).toEqual([["x-amz-content-sha256", "UNSIGNED-PAYLOAD"]]);
    const asked = { headers: [["X-Amz-Content-Sha256", "old"]], bodyHash: sha256("").toUpperCase() };
    expect(await added(asked)).toEqual([["x-amz-content-sha256", sha256("")]]);
  });

  test("has a time from any zone, and the present one without any", async () => {
    expect(await signatureOf({ date: "2015-08-30T14:36:00.999+02:00" })).toBe(vanilla);
    const [authorization, date] = await headersOf({ date: undefined });
    const iso = date?.[1].replace(/^(....)(..)(..T..)(..)/, "$1-$2-$3:$4:") ?? "";
    expect(Math.abs(Date.parse(iso) - Date.now())).toBeLessThan(5_000);
    expect(authorization?.[1]).toContain(`/${date?.[1].slice(0, 8)}/us-east-1/`);
  });
});
