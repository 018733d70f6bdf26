/**
 * `stepvault mcp`: a project's published steps as tools for an MCP client, which starts it and speaks with it over stdin and
 * stdout. It asks the API with a key out of a file: what is in an argument or in the environment, others can read.
 */
import { statSync } from "node:fs";
import { Client, Key } from "../client/client.ts";
import { readKey } from "../client/key-form.ts";
import { failureOf } from "../mcp/failure.ts";
import { serveMcp } from "../mcp/server.ts";
import { keyFileOfEnvironment } from "./environment.ts";
import { type Given, UsageError } from "./given.ts";
import { readText } from "./read-file.ts";
import { exitCodes, note } from "./terminal.ts";
import { version } from "./version.ts";

const refreshSecondsUsual = 10;

export async function mcpCommand(given: Given): Promise<number> {
  const [baseUrl, project] = [given.required("url"), given.required("project")];
  const file = given.text("key-file") ?? keyFileOfEnvironment();
  if (file === undefined) throw new UsageError("--key-file is missing, and STEPVAULT_KEY_FILE too");
  const refreshMs = (given.number("refresh") ?? refreshSecondsUsual) * 1_000;
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const name of ["SIGTERM", "SIGINT"] as const) process.on(name, onSignal);
  try {
    const client = openClient({ baseUrl, project, key: readKeyFile(file) });
    await serveMcp({ client, version: version(), refreshMs, note, signal: stop.signal });
  } catch (error) {
    throw failureOf(error);
  } finally {
    for (const name of ["SIGTERM", "SIGINT"] as const) process.off(name, onSignal);
  }
  return exitCodes.success;
}

/** Throws ERR_FILE_UNREADABLE. */
function readKeyFile(file: string): string {
  const key = readText(file, "key's file").trim();
  if ((statSync(file).mode & 0o004) !== 0) note("Everybody on this machine can read the key's file: chmod 600 it");
  return key;
}

/** A key names its region by itself. Throws the client library's own errors. */
function openClient({ baseUrl, project, key }: { baseUrl: string; project: string; key: string }): Client {
  const read = readKey(key);
  return new Client(new Key({ key, project, region: read.ok ? read.region : "us" }), { baseUrl });
}
