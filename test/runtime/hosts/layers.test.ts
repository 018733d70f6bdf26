/**
 * The layers around a host, each by itself. Goal: a host that a step has taken over gets at nothing, even where one of
 * the layers fails. Method: a program that tries everything is started inside a single layer, without the others; what
 * it must not get is something real on this machine. Needs bubblewrap and user namespaces; where they are missing, the
 * failure says so.
 */
import { spawn, spawnSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo, type Server } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import {
  chooseLayers,
  detectLayers,
  layerChains,
  permissionFlags,
  requireLayers,
  type SandboxLayers,
  wrapCommand,
} from "../../../runtime/layers.ts";
import { eventually, hostsOf, isAlive } from "../../helpers/processes.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

let folder: string;
/** A copy, since it is allowed to write beside itself when there is no layer. */
let program: string;
let tcp: Server;
let udp: Socket;
let targets: object;

beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "stepvault-layers-"));
  program = path.join(mkdtempSync(path.join(tmpdir(), "stepvault-escaped-")), "escaped.ts");
  copyFileSync(path.join(import.meta.dirname, "escaped.ts"), program);
  const secretFile = path.join(folder, "master.key");
  writeFileSync(secretFile, "secret");
  tcp = createServer((socket) => socket.end());
  tcp.listen(0, "127.0.0.1");
  udp = createSocket("udp4");
  udp.on("message", (_, { port }) => udp.send("pong", port, "127.0.0.1"));
  udp.bind(0, "127.0.0.1");
  await Promise.all([once(tcp, "listening"), once(udp, "listening")]);
  targets = {
    secretFile,
    newFile: path.join(folder, "new"),
    tcpPort: (tcp.address() as AddressInfo).port,
    udpPort: udp.address().port,
    workerPid: process.pid,
  };
});
afterAll(() => {
  tcp.close();
  udp.close();
  rmSync(path.dirname(program), { recursive: true, force: true });
  rmSync(folder, { recursive: true, force: true });
});

/** What the program got at. The process must not be blocked, as it is what answers on the network. */
async function escape(
  layers: Pick<SandboxLayers, "wrappers">,
  flags: readonly string[],
): Promise<Record<string, unknown>> {
  const command = wrapCommand(
    layers,
    { program: process.execPath, args: [...flags, "--no-warnings", program, JSON.stringify(targets)] },
    { readable: [program, process.execPath] },
  );
  const child = spawn(command.program, command.args, { env: {}, cwd: "/", stdio: ["ignore", "pipe", "pipe"] });
  let [out, errors] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString("utf8")));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString("utf8")));
  await once(child, "close");
  expect(errors).toBe("");
  return JSON.parse(out) as Record<string, unknown>;
}

describe("a host that a step has taken over", () => {
  test("gets at everything when there is no layer, so that the attempts are real", async () => {
    const got = await escape({ wrappers: [] }, []);
    const { memory, ownEnvironment, ...rest } = got;
    expect(new Set(Object.values(rest))).toEqual(new Set(["done"]));
    expect([memory, ownEnvironment]).toEqual(["EIO", ""]);
  });

  test("is refused files, network and processes by Node's permissions alone", async () => {
    const { signal, ...got } = await escape({ wrappers: [] }, permissionFlags([program]));
    expect(signal).toBe("done"); // The one thing that Node's model lets through; namespaces do not.
    expect(new Set(Object.values(got))).toEqual(new Set(["ERR_ACCESS_DENIED", ""]));
  });

  test("is refused files, network and the worker's processes by bubblewrap alone", async () => {
    const got = await escape(await chooseLayers(layerChains.bubblewrap), []);
    expect(got).toEqual({
      readFile: "ENOENT",
      listRoot: "ENOENT",
      writeFile: "ENOENT",
      writeOwnCode: "EROFS",
      tcp: "ECONNREFUSED",
      udp: "Error",
      spawn: "ENOENT",
      environment: "ENOENT",
      memory: "ENOENT",
      commandLine: "ENOENT",
      signal: "ESRCH",
      // Set by bubblewrap itself, to the folder that it starts in.
      ownEnvironment: "PWD",
    });
  });

  test("is refused the network and the worker's processes by unshare alone", async () => {
    const got = await escape(await chooseLayers(layerChains.unshare), []);
    expect(got).toMatchObject({ environment: "ENOENT", memory: "ENOENT", commandLine: "ENOENT", signal: "ESRCH" });
    expect([got["tcp"], got["udp"]]).not.toContain("done");
    expect(got["writeFile"]).not.toBe("done");
  });

  test("can write no file and hold no more memory than the kernel's limits allow, even with nothing else", async () => {
    const layers = await chooseLayers(layerChains.none);
    expect((await escape(layers, []))["writeFile"]).not.toBe("done");
    const flood = "const a = []; for (let i = 0; i < 64; i++) a.push(Buffer.alloc(1 << 27, 1)); console.log(a.length)";
    const command = wrapCommand(layers, { program: process.execPath, args: ["-e", flood] }, { readable: [] });
    const { status, stdout } = spawnSync(command.program, command.args, { env: {}, encoding: "utf8" });
    expect([status === 0, stdout]).toEqual([false, ""]);
  });
});

describe.each(["bubblewrap", "unshare", "none"] as const)("a real host inside %s", (chain) => {
  test("serves both languages", async () => {
    const layers = await chooseLayers(layerChains[chain]);
    const sandbox = openTestSandbox([], 0, { layers });
    expect((await runStep(sandbox, "javascript", "return 1 + 1")).output).toBe(2);
    expect((await runStep(sandbox, "python", "return 1 + 1")).output).toBe(2);
    const limits = hostsOf().map((pid) => readFileSync(`/proc/${pid}/limits`, "utf8"));
    expect(limits).toHaveLength(2);
    for (const text of limits) expect(text).toMatch(/Max core file size +0 +0/);
    for (const pid of hostsOf()) expect(readFileSync(`/proc/${pid}/environ`, "utf8")).not.toMatch(/STEPVAULT|PATH/);
    await sandbox.close();
    expect(hostsOf()).toEqual([]);
  });
  test("has no rights and can gain none", async () => {
    const layers = await chooseLayers(layerChains[chain]);
    const sandbox = openTestSandbox([], 0, { layers });
    await runStep(sandbox, "javascript", "return 1");
    const [status = ""] = hostsOf().map((pid) => readFileSync(`/proc/${pid}/status`, "utf8"));
    await sandbox.close();
    // Without any tool it has those of the worker, which an operator keeps low.
    const expected = chain === "none" ? /NoNewPrivs/ : /CapEff:\s+0+\n[^]*NoNewPrivs:\s+1\n/;
    expect(status).toMatch(expected);
  });
  test("dies with its worker, though its step never stops", async () => {
    const parent = spawn(process.execPath, [path.join(import.meta.dirname, "parent.ts"), chain, inject("cacheDir")], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(parent.stdout, "data");
    const hosts = hostsOf(parent.pid);
    expect(hosts).toHaveLength(1);
    parent.kill("SIGKILL");
    await eventually("the host is gone", () => !hosts.some((pid) => isAlive(pid)));
  });
});

describe("what this machine allows", () => {
  test("is found out and named", async () => {
    const { states } = await detectLayers();
    expect(states.map(({ name }) => name)).toEqual(["permission", "limits", "namespaces", "files"]);
    for (const { detail } of states) expect(detail).not.toBe("");
  });
  test("and a layer that is missing keeps a worker from starting where all are required", async () => {
    const without = await chooseLayers(layerChains.none);
    expect(() => requireLayers(without)).toThrow(/2 of 4 sandbox layers are off: namespaces/);
    const broken = await chooseLayers([
      [{ tool: "no-such-tool", layers: ["files"], args: () => [] }],
      [{ tool: "false", layers: ["files"], args: () => [] }],
    ]);
    expect(broken.states.find(({ name }) => name === "files")).toEqual({
      name: "files",
      on: false,
      detail: "no-such-tool is not installed; false does not work here: it failed",
    });
    expect(() => requireLayers(broken)).toThrow("Cannot start");
  });
});
