/**
 * What Python steps do with client libraries: for each a typical call with a credential, against test/runtime/clients/api.ts.
 * A case takes the secret by reference and the server's address as `params["url"]`. Packages are Debian's.
 */
import { accessKeyId } from "./api.ts";
import { type ClientCase, gives } from "./client-case.ts";

const builtIn = "built in";
const debian = "of Debian 12";
const requests = ["requests", "urllib3", "chardet", "idna", "six"];
const httpx = ["httpx", "idna", "sniffio", "rfc3986"];

const me = gives([200, { name: "me" }, { made: { size: 5 } }]);

export const pythonCases: readonly ClientCase[] = [
  {
    library: "urllib.request",
    version: builtIn,
    packages: [],
    title: "a GET with a bearer token, a POST of JSON with basic authentication",
    code: `import base64, json, urllib.request
def ask(path, authorization, body=None):
    headers = {"Authorization": authorization, "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(params["url"] + path, body, headers)) as response:
        return response.status, json.load(response)
status, me = ask("/me", "Bearer <<secrets.api_key>>")
basic = base64.b64encode(b"user:<<secrets.api_key>>").decode()
return [status, me, ask("/items", f"Basic {basic}", json.dumps({"size": 5}).encode())[1]]`,
    check: me,
  },
  {
    library: "http.client",
    version: builtIn,
    packages: [],
    title: "a GET with a bearer token",
    code: `import http.client, json
from urllib.parse import urlsplit
connection = http.client.HTTPSConnection(urlsplit(params["url"]).netloc)
connection.request("GET", "/me", headers={"Authorization": "Bearer <<secrets.api_key>>"})
response = connection.getresponse()
return [response.status, json.load(response)]`,
    check: gives([200, { name: "me" }]),
  },
  {
    library: "pyodide.http.pyfetch",
    version: builtIn,
    packages: [],
    title: "a GET with a bearer token",
    code: `from pyodide.http import pyfetch
response = await pyfetch(params["url"] + "/me", headers={"Authorization": "Bearer <<secrets.api_key>>"})
return [response.status, await response.json()]`,
    check: gives([200, { name: "me" }]),
  },
  {
    library: "requests",
    version: debian,
    packages: requests,
    title: "a GET with a bearer token, a POST of JSON with basic authentication",
    code: `import requests
key = "<<secrets.api_key>>"
me = requests.get(params["url"] + "/me", headers={"Authorization": f"Bearer {key}"})
made = requests.post(params["url"] + "/items", json={"size": 5}, auth=("user", key))
return [me.status_code, me.json(), made.json()]`,
    check: me,
  },
  {
    library: "requests",
    version: debian,
    packages: requests,
    title: "server-sent events, line by line",
    code: `import json, requests
asked = {"model": "tiny", "messages": [], "stream": True}
headers = {"Authorization": "Bearer <<secrets.api_key>>"}
with requests.post(params["url"] + "/v1/chat/completions", json=asked, headers=headers, stream=True) as response:
    lines = [line[6:].decode() for line in response.iter_lines() if line and not line.endswith(b"[DONE]")]
return [json.loads(line)["choices"][0]["delta"]["content"] for line in lines]`,
    check: gives(["Hel", "lo, ", "wörld"]),
  },
  {
    library: "httpx.Client",
    version: debian,
    packages: httpx,
    title: "a GET with a bearer token, a POST of JSON with basic authentication",
    code: `import httpx
key = "<<secrets.api_key>>"
with httpx.Client(base_url=params["url"]) as client:
    me = client.get("/me", headers={"Authorization": f"Bearer {key}"})
    made = client.post("/items", json={"size": 5}, auth=("user", key))
return [me.status_code, me.json(), made.json()]`,
    check: me,
  },
  {
    library: "httpx.AsyncClient",
    version: debian,
    packages: httpx,
    title: "a GET with a bearer token and a POST of JSON with basic authentication, at once",
    code: `import asyncio, httpx
key = "<<secrets.api_key>>"
async with httpx.AsyncClient(base_url=params["url"]) as client:
    me, made = await asyncio.gather(
        client.get("/me", headers={"Authorization": f"Bearer {key}"}),
        client.post("/items", json={"size": 5}, auth=("user", key)),
    )
return [me.status_code, me.json(), made.json()]`,
    check: me,
  },
  {
    library: "stepvault.sign",
    version: builtIn,
    packages: [],
    title: "a POST that the broker signs for AWS, sent by urllib.request",
    code: `import json, stepvault, urllib.request
url, body = params["url"] + "/signed?b=two%20words&a=1", json.dumps({"size": 5}).encode()
headers = {"Content-Type": "application/json"}
signed = stepvault.sign(<<secrets.api_key>>, algorithm="aws-sigv4", accessKeyId="${accessKeyId}", region="eu-central-1",
    service="execute-api", method="POST", url=url, headers=headers, body=body)
return json.load(urllib.request.urlopen(urllib.request.Request(url, body, headers | signed)))`,
    check: gives({ signed: { size: 5 } }),
  },
];
