/**
 * The worker against a host that a step has taken over. Goal: whatever such a host sends ends its own run at most, in a
 * typed way and in bounded time, and never reaches the next run. Method: a host program that lies on purpose.
 */
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Sandbox } from "../../../runtime/sandbox.ts";
import { eventually, hostsOf } from "../../helpers/processes.ts";
import { openTestSandbox, runStep } from "../../helpers/sandbox.ts";

const program = path.join(import.meta.dirname, "liar.ts");

let sandbox: Sandbox;
afterEach(async () => await sandbox.close());

const limits = {
  stdoutBytesMax: 10_000,
  logEntriesMax: 100,
  requestsMax: 10,
  bridgeCallsMax: 100,
  outputBytesMax: 1_000,
  wallTimeMsMax: 1_000,
};

async function runLie(lie: string): Promise<{ code: string | undefined; text: string; output: unknown }> {
  return await runStep(sandbox, "javascript", lie, { limits });
}

describe("a host that lies", () => {
  test.each([
    ["not JSON", "ERR_BRIDGE_PROTOCOL"],
    ["an oversized frame", "ERR_BRIDGE_PROTOCOL"],
    ["no envelope", "ERR_BRIDGE_PROTOCOL"],
    ["an unknown message", "ERR_BRIDGE_PROTOCOL"],
    ["a message with more fields", "ERR_BRIDGE_PROTOCOL"],
    ["a message of the next run", "ERR_BRIDGE_PROTOCOL"],
    ["a message of the last run", "ERR_BRIDGE_PROTOCOL"],
    ["ready in the middle", "ERR_BRIDGE_PROTOCOL"],
    ["idle without release", "ERR_BRIDGE_PROTOCOL"],
    ["references again", "ERR_BRIDGE_PROTOCOL"],
    ["started twice", "ERR_BRIDGE_PROTOCOL"],
    ["an empty print", "ERR_BRIDGE_PROTOCOL"],
    ["fields too deep to read", "ERR_BRIDGE_PROTOCOL"],
    ["prints beyond the limit", "ERR_LIMIT_STDOUT"],
    ["logs beyond the limit", "ERR_LIMIT_LOG"],
    ["requests beyond the limit", "ERR_LIMIT_REQUESTS"],
    ["aborts without end", "ERR_LIMIT_BRIDGE_CALLS"],
    ["an output beyond the limit", "ERR_LIMIT_OUTPUT"],
    ["an output too deep", "ERR_LIMIT_OUTPUT"],
    ["silent", "ERR_LIMIT_WALL_TIME"],
  ])("with %s ends its run as %s and serves no other", async (lie, expected) => {
    sandbox = openTestSandbox([], 0, { program });
    const { code, text } = await runLie(lie);
    expect(code).toBe(expected);
    expect(text.length).toBeLessThanOrEqual(limits.stdoutBytesMax);
    await eventually("the host is gone", () => hostsOf().length === 0);
    expect((await runLie("honest")).output).toBe("done");
  });

  test("who says that the run is done twice is believed once", async () => {
    sandbox = openTestSandbox([], 0, { program });
    expect((await runLie("done twice")).output).toBe("done");
    expect((await runLie("honest")).output).toBe("done");
  });

  test("who does not say that the run is gone is killed", async () => {
    sandbox = openTestSandbox([], 0, { program });
    expect((await runLie("no idle")).output).toBe("done");
    await eventually("the host is gone", () => hostsOf().length === 0);
    expect((await runLie("honest")).output).toBe("done");
  });

  test.each(["late output", "idle at once"])("with %s tells the next run nothing", async (lie) => {
    sandbox = openTestSandbox([], 0, { program });
    const first = await runLie(lie);
    expect(first).toMatchObject({ output: "done", text: "" });
    const next = await runLie("honest");
    expect(next.text).toBe("");
    // Either the host was found out in time, or the run met it and ended for that reason alone.
    expect([undefined, "ERR_BRIDGE_PROTOCOL"]).toContain(next.code);
    expect((await runLie("honest")).output).toBe("done");
  });
});
