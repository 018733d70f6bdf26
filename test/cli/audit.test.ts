/**
 * `stepvault audit` as an operator runs it, in processes of their own on a real database: what it prints and how it exits for a
 * log that is whole, and for one that somebody changed.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Project } from "../../vault/tenancy/tenancy.ts";
import { openVault } from "../../vault/vault.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { createOrganization, createProject, setSecret } from "../helpers/vault.ts";

const command = path.resolve(import.meta.dirname, "../../cli/main.ts");
let temporary: Temporary;
let project: Project;

function stepvault(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  const env = { PATH: process.env["PATH"], STEPVAULT_DATA_DIR: temporary.config.dataDir };
  const { status, stdout, stderr } = spawnSync(process.execPath, [command, ...args], { env, encoding: "utf8" });
  return { status, stdout, stderr };
}

beforeAll(async () => {
  temporary = await openTemporary();
  const vault = await openVault(temporary.database, temporary.config);
  project = await createProject(vault, (await createOrganization(vault, "Acme")).id, "Support");
  await setSecret(vault, project.id, "KEY", "a value of the vault");
  vault.close();
});
afterAll(async () => await temporary.dispose());

describe("stepvault audit", () => {
  test("lists events, the latest first, for people and as JSON", () => {
    const organization = ["--organization", project.organizationId];
    const shown = stepvault("audit", "list", ...organization);
    expect([shown.status, shown.stderr]).toEqual([0, ""]);
    expect(
      shown.stdout
        .split("\n")
        .slice(1, 4)
        .map((line) => line.split(/\s+/)[2]),
    ).toEqual(["secret.set", "project.create", "organization.create"]);
    expect(shown.stdout).not.toContain("a value of the vault");
    const { stdout } = stepvault("audit", "list", ...organization, "--json", "--limit", "1");
    expect(JSON.parse(stdout)).toMatchObject({ seq: 3, event: "secret.set", target: [{ name: "KEY", version: 1 }] });
    const earlier = stepvault("audit", "list", ...organization, "--json", "--before", "2").stdout;
    expect(JSON.parse(earlier)).toMatchObject({ seq: 1 });
  });

  test("verifies the log against an exported head, and tells what somebody changed", async () => {
    const organization = ["--organization", project.organizationId];
    const file = path.join(temporary.config.dataDir, "head.json");
    writeFileSync(file, stepvault("audit", "head", ...organization).stdout);
    expect(stepvault("audit", "verify", ...organization, "--head", file)).toMatchObject({
      status: 0,
      stdout: "whole: 3 events\n",
    });
    await temporary.database.query("delete from audit_events where seq = 3");
    await temporary.database.query(
      "update audit_heads h set seq = 2, hash = (select hash from audit_events e where e.seq = 2)",
    );
    // Whoever cuts off the end and knows of the head is told by the kept one only.
    expect(stepvault("audit", "verify", ...organization)).toMatchObject({ status: 0 });
    expect(stepvault("audit", "verify", ...organization, "--head", file)).toMatchObject({
      status: 4,
      stdout: "broken at event 3: the log ends before the kept head\n",
    });
    await temporary.database.query("update audit_events set body = replace(body, 'Support', 'Sales') where seq = 2");
    expect(stepvault("audit", "verify", ...organization, "--json")).toMatchObject({ status: 4 });
  });

  test("is called with an organization, a known action and sound numbers, or shows how", () => {
    for (const args of [
      ["verify"],
      ["forget", "--organization", project.organizationId],
      ["list", "--organization", project.organizationId, "--limit", "0"],
      ["list", "--organization", project.organizationId, "--before", "x"],
    ]) {
      const { status, stdout, stderr } = stepvault("audit", ...args);
      expect([status, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(/^error\[ERR_USAGE\]: .*\nhint: stepvault .*audit/);
    }
    expect(stepvault("audit", "verify", "--organization", "Acme")).toMatchObject({ status: 1 });
    const file = path.join(temporary.config.dataDir, "none.json");
    writeFileSync(file, "{}");
    const none = stepvault("audit", "verify", "--organization", project.organizationId, "--head", file);
    expect(none.stderr).toContain("error[ERR_AUDIT_HEAD_INVALID]");
  });
});
