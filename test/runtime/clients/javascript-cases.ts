/**
 * What JavaScript steps do with client libraries: for each a typical call with a credential, against test/runtime/clients/api.ts. A
 * case takes the secret by reference and the server's address as `params.url`, and knows nothing else of how it is run.
 */
import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { accessKeyId } from "./api.ts";
import { type ClientCase, gives, signsItself } from "./client-case.ts";

const require = createRequire(import.meta.url);

/** The name and version of the package that a file belongs to. */
function packageOf(file: string): { library: string; version: string } {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, "package.json");
    if (!existsSync(manifest)) continue;
    const { name, version } = JSON.parse(readFileSync(manifest, "utf8")) as { name?: string; version?: string };
    // Some packages have folders with a manifest that only says of which kind their modules are.
    if (name !== undefined && version !== undefined) return { library: name, version };
  }
}

const axios = packageOf(require.resolve("axios"));
const got = packageOf(require.resolve("got"));
const openai = packageOf(require.resolve("openai"));
const stripe = packageOf(require.resolve("stripe"));
const signer = packageOf(require.resolve("@smithy/signature-v4"));
const hash = packageOf(require.resolve("@aws-crypto/sha256-js"));
const dynamodb = packageOf(require.resolve("@aws-sdk/client-dynamodb"));

const openaiClient = `import OpenAI from "openai";
const client = new OpenAI({ apiKey: "<<secrets.api_key>>", baseURL: params.url + "/v1", maxRetries: 0 });
const asked = { model: "tiny", messages: [{ role: "user", content: "Hello?" }] };`;

export const javascriptCases: readonly ClientCase[] = [
  {
    library: "fetch",
    version: "built in",
    packages: [],
    title: "a GET with a bearer token",
    code: `const response = await fetch(params.url + "/me", { headers: { authorization: "Bearer <<secrets.api_key>>" } });
return [response.status, await response.json()];`,
    check: gives([200, { name: "me" }]),
  },
  {
    ...axios,
    packages: [axios.library],
    title: "a GET with a bearer token, a POST of JSON with basic authentication, an error by status",
    code: `import axios from "axios";
const client = axios.create({ baseURL: params.url, headers: { authorization: "Bearer <<secrets.api_key>>" } });
const me = await client.get("/me");
const auth = { username: "user", password: "<<secrets.api_key>>" };
const made = await axios.post(params.url + "/items", { size: 5 }, { auth });
const failure = await client.get("/nowhere").catch((error) => [error.code, error.response.status]);
return [me.status, me.data, made.data, failure];`,
    check: gives([200, { name: "me" }, { made: { size: 5 } }, ["ERR_BAD_REQUEST", 404]]),
  },
  {
    ...got,
    packages: [got.library],
    title: "a GET with a bearer token",
    code: `import got from "got";
return await got(params.url + "/me", { headers: { authorization: "Bearer <<secrets.api_key>>" } }).json();`,
    check: gives({ name: "me" }),
  },
  {
    ...openai,
    packages: [openai.library],
    title: "a chat completion",
    code: `${openaiClient}
const { choices } = await client.chat.completions.create(asked);
return choices[0].message.content;`,
    check: gives("1 message for tiny"),
  },
  {
    ...openai,
    packages: [openai.library],
    title: "a chat completion that is streamed by server-sent events",
    code: `${openaiClient}
const parts = [];
for await (const part of await client.chat.completions.create({ ...asked, stream: true })) parts.push(part.choices[0].delta.content);
return parts;`,
    check: gives(["Hel", "lo, ", "wörld"]),
  },
  {
    ...stripe,
    packages: [stripe.library],
    title: "a POST of a form",
    code: `import Stripe from "stripe";
const { hostname, port, protocol } = new URL(params.url);
const stripe = new Stripe("<<secrets.api_key>>", { host: hostname, port, protocol: protocol.slice(0, -1), maxNetworkRetries: 0 });
const customer = await stripe.customers.create({ email: "a@example.com", metadata: { plan: "two words" } });
return [customer.id, customer.email, customer["metadata[plan]"]];`,
    check: gives(["cus_1", "a@example.com", "two words"]),
  },
  {
    library: "secrets.sign",
    version: "built in",
    packages: [],
    title: "a POST that the broker signs for AWS, sent by fetch",
    code: `const url = new URL(params.url + "/signed?b=two%20words&a=1");
const body = JSON.stringify({ size: 5 });
const request = { service: "execute-api", region: "eu-central-1", method: "POST", url, body, headers: { "content-type": "application/json" } };
const headers = await secrets.sign(<<secrets.api_key>>, { algorithm: "aws-sigv4", accessKeyId: "${accessKeyId}", ...request });
return await (await fetch(url, { method: "POST", headers: { ...request.headers, ...headers }, body })).json();`,
    check: gives({ signed: { size: 5 } }),
  },
  {
    ...signer,
    sealed: signsItself,
    packages: [signer.library, hash.library],
    title: `a POST that is signed, with ${hash.library} ${hash.version}, and sent by fetch`,
    code: `import { SignatureV4 } from "@smithy/signature-v4";
import { Sha256 } from "@aws-crypto/sha256-js";
const url = new URL(params.url + "/signed?b=two%20words&a=1");
const credentials = { accessKeyId: "${accessKeyId}", secretAccessKey: "<<secrets.api_key>>" };
const signer = new SignatureV4({ service: "execute-api", region: "eu-central-1", credentials, sha256: Sha256 });
const { method, headers, body } = await signer.sign({
  method: "POST", protocol: url.protocol, hostname: url.hostname, path: url.pathname, query: { b: "two words", a: "1" },
  headers: { host: url.host, "content-type": "application/json" }, body: JSON.stringify({ size: 5 }),
});
delete headers.host; // fetch sets it
return await (await fetch(url, { method, headers, body })).json();`,
    check: gives({ signed: { size: 5 } }),
  },
  {
    ...dynamodb,
    sealed: signsItself,
    packages: [dynamodb.library],
    title: "a command that the client signs",
    code: `import { DynamoDBClient, GetItemCommand } from "@aws-sdk/client-dynamodb";
const credentials = { accessKeyId: "${accessKeyId}", secretAccessKey: "<<secrets.api_key>>" };
const client = new DynamoDBClient({ region: "eu-central-1", endpoint: params.url, credentials, maxAttempts: 1 });
const { Item } = await client.send(new GetItemCommand({ TableName: "things", Key: { id: { S: "1" } } }));
return Item;`,
    check: gives({ id: { S: "1" }, count: { N: "5" } }),
  },
];
