/**
 * Making clients. Goal: the short way is short, and nobody's request goes into another project because two clients were
 * made. Method: the modules are loaded afresh for each test, as the default client is theirs; a real server on loopback.
 */
import { beforeEach, describe, expect, test, vi } from "vitest";
import type * as Library from "../../client/client.ts";
import { clientErrorCodes } from "../../client/errors.ts";
import { errorCodes } from "../../protocol/error.ts";
import { generateKey } from "../../vault/platform-keys/key-format.ts";
import { agentId, embedKey, project, serverKey, startServer, taskPrefix } from "./server.ts";

let library: typeof Library;
const fields = { apiKey: serverKey, region: "eu", project } as const;

beforeEach(async () => {
  vi.resetModules();
  library = await import("../../client/client.ts");
});

/** The code of a refusal: the classes are new ones in each test. */
function refusal(doing: () => unknown): unknown {
  try {
    return doing();
  } catch (error) {
    return (error as { code?: string }).code;
  }
}

describe("a client", () => {
  test("requirement 33: createClient is the short way, and new Client(new Key(…)) the explicit one", async () => {
    const server = await startServer();
    const { Client, createClient, Key, REGION_EU } = library;
    const short = createClient({ apiKey: serverKey, region: REGION_EU, project, baseUrl: server.url });
    const explicit = new Client(new Key({ key: serverKey, region: REGION_EU, project }), { baseUrl: server.url });
    await short.request({ path: "/v1/x" });
    await explicit.request({ path: "/v1/x" });
    expect(short.toJSON()).toEqual(explicit.toJSON());
    expect(server.arrived.map(({ headers }) => headers.authorization)).toEqual([
      `${project}:${serverKey}`,
      `${project}:${serverKey}`,
    ]);
  });

  test("requirement 32: regions are constants, and each has its own base URL", () => {
    const { createClient, REGION_AU, REGION_EU, REGION_US, setDefaultBaseUrl } = library;
    expect([REGION_US, REGION_EU, REGION_AU]).toEqual(["us", "eu", "au"]);
    const urls = (): string[] =>
      ([REGION_US, REGION_EU, REGION_AU] as const).map((region) => {
        return createClient({ apiKey: generateKey("project", region), region, project }).baseUrl;
      });
    // Nobody can own a name that ends in .example: a deployment has to say where it is.
    expect(urls()).toEqual(["us", "eu", "au"].map((region) => `https://api-${region}.stepvault.example/`));
    setDefaultBaseUrl("https://{region}.api.example.com/base");
    expect(urls()).toEqual(["us", "eu", "au"].map((region) => `https://${region}.api.example.com/base`));
    const own = createClient({ ...fields, baseUrl: "https://{region}.example.org" });
    expect(own.baseUrl).toBe("https://eu.example.org/");
    expect(refusal(() => createClient({ ...fields, region: REGION_US }))).toBe("ERR_KEY_REGION");
  });

  test("takes an embed key in the explicit way, and no half of one in the short way", () => {
    const { Client, createClient, Key } = library;
    const key = new Key({ key: embedKey, region: "eu", project, agentId, taskPrefix });
    expect(new Client(key).key.isEmbed()).toBe(true);
    expect(refusal(() => createClient({ ...fields, apiKey: embedKey }))).toBe("ERR_KEY_INVALID");
  });
});

describe("the default client", () => {
  test("is the one that createClient made, also after the same was made again", () => {
    const { Client, createClient } = library;
    expect(refusal(() => Client.default())).toBe("ERR_CLIENT_DEFAULT");
    const first = createClient(fields);
    expect(Client.default()).toBe(first);
    const again = createClient(fields);
    expect(Client.default()).toBe(again);
  });

  test("is none when there are several, so that no request acts in another project, until one is chosen", () => {
    const { Client, createClient } = library;
    const others = [
      { ...fields, apiKey: generateKey("project", "eu") },
      { ...fields, project: agentId },
      { ...fields, baseUrl: "https://api.example.com" },
    ];
    for (const other of others) {
      const first = createClient(fields);
      Client.setDefault(first);
      const second = createClient(other);
      expect(refusal(() => Client.default())).toBe("ERR_CLIENT_DEFAULT");
      createClient(fields);
      expect(refusal(() => Client.default())).toBe("ERR_CLIENT_DEFAULT");
      Client.setDefault(second);
      expect(Client.default()).toBe(second);
    }
  });

  test("is not changed by the explicit way", () => {
    const { Client, createClient, Key } = library;
    const first = createClient(fields);
    void new Client(new Key({ key: generateKey("project", "us"), region: "us", project }));
    expect(Client.default()).toBe(first);
  });
});

test("every code of the client library is in the table of codes", () => {
  expect(clientErrorCodes.filter((code) => !(code in errorCodes))).toEqual([]);
});

test("a client whose default server was not set reaches nobody", async () => {
  const { createClient } = await import("../../client/client.ts");
  const asked: string[] = [];
  const fetch = async (url: string): Promise<Response> => {
    asked.push(new URL(url).hostname);
    throw new TypeError("fetch failed");
  };
  const request = createClient({ ...fields, fetch, retriesMax: 0 }).request({ path: "/v1/x" });
  await expect(request).rejects.toMatchObject({ code: "ERR_CLIENT_NETWORK" });
  expect(asked).toEqual(["api-eu.stepvault.example"]);
});
