/**
 * Stands for a host whose step has broken out of its isolate: tries everything that the layers around a host are there
 * to refuse, and prints what came of each attempt as JSON. argv: what to try it on, as JSON.
 */
import { execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";

interface Targets {
  readonly secretFile: string;
  readonly newFile: string;
  readonly tcpPort: number;
  readonly udpPort: number;
  readonly workerPid: number;
}

const { secretFile, newFile, tcpPort, udpPort, workerPid } = JSON.parse(process.argv[2] ?? "{}") as Targets;
const timeMsMax = 1_000;

async function attempt(action: () => unknown): Promise<string> {
  try {
    await action();
    return "done";
  } catch (error) {
    const { code, name } = error as NodeJS.ErrnoException;
    return code ?? name;
  }
}

function connects(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => resolve());
    socket.on("error", reject).setTimeout(timeMsMax, () => reject(new Error("silence")));
  });
}

/** A datagram may be lost without an error, so the answer counts. */
function asksByUdp(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.on("error", reject).on("message", () => resolve());
    socket.send("ping", port, "127.0.0.1");
    setTimeout(() => reject(new Error("silence")), timeMsMax);
  });
}

const results = {
  readFile: await attempt(() => readFileSync(secretFile)),
  listRoot: await attempt(() => readdirSync("/etc")),
  writeFile: await attempt(() => writeFileSync(newFile, "x")),
  writeOwnCode: await attempt(() => writeFileSync(`${import.meta.filename}.new`, "x")),
  tcp: await attempt(() => connects(tcpPort)),
  udp: await attempt(() => asksByUdp(udpPort)),
  spawn: await attempt(() => execFileSync("/bin/sh", ["-c", "true"])),
  environment: await attempt(() => readFileSync(`/proc/${workerPid}/environ`)),
  memory: await attempt(() => readFileSync(`/proc/${workerPid}/mem`)),
  commandLine: await attempt(() => readFileSync(`/proc/${workerPid}/cmdline`)),
  signal: await attempt(() => process.kill(workerPid, 0)),
  ownEnvironment: Object.keys(process.env).join(),
};
process.stdout.write(JSON.stringify(results), () => process.exit(0));
