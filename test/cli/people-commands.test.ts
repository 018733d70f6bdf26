/**
 * The commands on people, agents, credentials and keys as an operator runs them, each in a process of its own on one real
 * database. Values come from stdin or a file; what is shown of them is what the vault shows.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveStep } from "../../runs/steps.ts";
import type { Project } from "../../vault/tenancy/tenancy.ts";
import { openVault, type Vault } from "../../vault/vault.ts";
import { openTemporary, type Temporary } from "../database/temporary.ts";
import { createOrganization, createProject } from "../helpers/vault.ts";
import { type Ended, main, objectsOf, stepvault } from "./stepvault.ts";

const providerKey = ["prov", "ider-key-0123456789abcdef"].join("");
let temporary: Temporary;
let vault: Vault;
let project: Project;
let stepId: string;
const shown: string[] = [];

async function run(args: readonly string[], input = ""): Promise<Ended> {
  const ended = await stepvault(args, { input, env: { STEPVAULT_DATA_DIR: temporary.config.dataDir } });
  shown.push(ended.stdout, ended.stderr);
  return ended;
}
const inProject = async (args: string, input?: string): Promise<Ended> =>
  await run([...args.split(" "), "--project", project.id], input);
const inOrganization = async (args: string, input?: string): Promise<Ended> =>
  await run([...args.split(" "), "--organization", project.organizationId], input);

beforeAll(async () => {
  temporary = await openTemporary();
  vault = await openVault(temporary.database, temporary.config);
  project = await createProject(vault, (await createOrganization(vault, "Acme")).id, "Support");
  const step = { language: "javascript" as const, code: "return 1" };
  stepId = (await saveStep(temporary.database, { projectId: project.id, name: "One", step })).id;
}, 60_000);
afterAll(async () => {
  vault.close();
  await temporary.dispose();
});

describe("stepvault members", () => {
  test("adds, changes and removes people at both levels", async () => {
    expect(await inOrganization("members set ada --role owner --name Ada")).toEqual({
      code: 0,
      stdout: "",
      stderr: "",
    });
    expect((await inOrganization("members set bob --role member --json")).stdout).toContain('"personId":"bob"');
    expect((await inProject("members set bob --role member --can-create-assets")).code).toBe(0);
    const [organization, inside] = await Promise.all([
      inOrganization("members list --json"),
      inProject("members list"),
    ]);
    expect(objectsOf(organization)).toMatchObject([
      { name: "Ada", role: "owner" },
      { personId: "bob", role: "member" },
    ]);
    expect(inside.stdout).toMatch(/^bob +member, can create assets /m);
    const wrong = await Promise.all([
      inProject("members set bob --role owner"),
      inProject("members set carol --role viewer"),
      inOrganization("members remove ada"),
    ]);
    expect(wrong.map(({ code }) => code)).toEqual([2, 1, 1]);
    expect(wrong.map(({ stderr }) => /error\[(\w+)\]/.exec(stderr)?.[1])).toEqual([
      "ERR_USAGE",
      "ERR_MEMBER_UNKNOWN",
      "ERR_MEMBER_LAST_OWNER",
    ]);
    // Changing a role leaves the name.
    await inOrganization("members set ada --role owner");
    expect((await inProject("members remove bob")).code).toBe(0);
    expect(objectsOf(await inOrganization("members list --json"))[0]).toMatchObject({ name: "Ada" });
  }, 180_000);
});

describe("stepvault agents and stepvault embed-keys", () => {
  test("make a public agent and keys for it, which end when it becomes private", async () => {
    const agent = (await inProject(`agents create Shop --step ${stepId}`)).stdout.trim();
    expect((await inProject(`embed-keys create --agent ${agent}`)).stderr).toContain("error[ERR_AGENT_PRIVATE]");
    expect((await inProject(`agents change ${agent} --public`)).stderr).toBe("Shop: public\n");
    const made = await inProject(`embed-keys create --agent ${agent} --origin https://shop.example --expires-days 3`);
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ek-us_[0-9A-Za-z]{49}\n$/) });
    expect(made.stderr).not.toContain(made.stdout.trim());
    const [listed, agents] = await Promise.all([inProject("embed-keys list --json"), inProject("agents list")]);
    const [{ id }] = objectsOf(listed) as [{ id: string }];
    expect(listed.stdout).not.toContain(made.stdout.trim());
    expect(agents.stdout).toMatch(new RegExp(`^${agent} +agent +yes +1 +Shop$`, "m"));
    expect((await inProject(`embed-keys revoke ${id}`)).code).toBe(0);
    expect((await inProject("embed-keys list")).stdout).toMatch(new RegExp(`^${id} .* revoked `, "m"));
    expect((await inProject(`agents change ${agent} --public --private`)).code).toBe(2);
    expect(objectsOf(await inProject(`agents delete ${agent} --json`))).toEqual([{ id: agent, deleted: true }]);
  }, 180_000);
});

describe("stepvault credentials", () => {
  test("take a secret field from stdin alone, and say which credential a project uses", async () => {
    expect((await inProject("credentials set openai", `${providerKey}\n`)).stderr).toBe("openai is at version 1\n");
    const asked = await Promise.all([
      inProject("credentials list"),
      inProject("credentials explain openai"),
      inProject("credentials explain mistral"),
      inProject(`credentials set openai --field api_key=abcdefghijk`, providerKey),
      inProject("credentials set bedrock --field region=eu-central-1", providerKey),
    ]);
    expect(asked.map(({ code }) => code)).toEqual([0, 0, 1, 2, 2]);
    expect(asked[0].stdout).toMatch(/^openai +1 +on +api_key$/m);
    expect(asked[3].stderr).not.toContain("abcdefghijk");
    const file = path.join(temporary.config.dataDir, "fields.json");
    writeFileSync(
      file,
      JSON.stringify({ access_key_id: ["AKIA", "IOSFODNN7EXAMPLE"].join(""), secret_access_key: providerKey }),
    );
    expect((await inProject(`credentials set bedrock --field region=eu-central-1 --fields-file ${file}`)).code).toBe(0);
    expect(objectsOf(await inProject("credentials disable openai --json"))).toEqual([
      { integration: "openai", enabled: false },
    ]);
    expect((await inProject("credentials enable openai")).code).toBe(0);
    expect((await inProject("credentials remove bedrock")).code).toBe(0);
    const inherited = await inProject("credentials inherit --class model --use on");
    expect(inherited.stdout).toMatch(/^model +all +yes$/m);
    const standing = await inOrganization("credentials standing --plan team --rollout on --editors off --json");
    expect(objectsOf(standing)).toMatchObject([{ plan: "team", rolledOut: true, editorsManage: false }]);
    expect((await run(["credentials", "integrations"])).stdout).toMatch(/^openai +model +api_key \(secret\) +OpenAI$/m);
  }, 240_000);
});

describe("stepvault projects, keys, sign-in and root-key", () => {
  test("limit a project, and keep what is not named", async () => {
    await inProject("projects limits --runs-at-once-max 4 --retention-days 9");
    await inProject("projects limits --retention-days default");
    const [{ limits, network }] = objectsOf(
      await run(["projects", "network", "GET api.example.com", "--project", project.id, "--json"]),
    ) as [Record<string, unknown>];
    expect([limits, network]).toMatchObject([{ runsAtOnceMax: 4, retentionDays: null }, ["GET api.example.com"]]);
    expect((await inProject("projects limits --retention-days 1.5")).code).toBe(2);
    expect((await inProject("projects network step")).code).toBe(0);
    expect((await inProject("projects show")).stdout).toMatch(/^network +-$/m);
  }, 120_000);

  test("change keys, and rules for keys to come", async () => {
    const made = objectsOf(await inProject("keys create --name CI --scope trigger --json"))[0] as {
      id: string;
      key: string;
    };
    shown.splice(
      shown.findIndex((text) => text.includes(made.key)),
      1,
    );
    const changed = await inProject(`keys change ${made.id} --name CD --scope trigger --scope read:runs`);
    expect(changed.stderr).toBe("CD may: trigger read:runs\n");
    expect((await inOrganization("keys policy --expiry required --expires-days-max 30 --json")).stdout).toBe(
      '{"expiryRequired":true,"expiryDaysMax":30}\n',
    );
    expect((await inProject("keys create --name X --scope trigger")).stderr).toContain("error[ERR_KEY_EXPIRY_INVALID]");
    expect((await inOrganization("keys policy --expiry optional --json")).stdout).toContain('"expiryDaysMax":null');
    expect((await inProject(`keys change ${made.id}`)).code).toBe(2);
    expect(shown.join("")).not.toContain(made.key);
  }, 120_000);

  test("are told by their ids when a full disk or a reader that went away keeps them from everybody", async () => {
    const agent = (await inProject(`agents create Page --public --step ${stepId}`)).stdout.trim();
    const old = objectsOf(await inProject("keys list --json"))[0]!["id"] as string;
    const env = { PATH: process.env["PATH"], STEPVAULT_DATA_DIR: temporary.config.dataDir };
    const place = `--project ${project.id}`;
    for (const [command, more, reason] of [
      ["keys create --name Lost --scope trigger", "--json > /dev/full", "ENOSPC"],
      ["keys create --name Lost --scope trigger", "| true", "EPIPE"],
      [`keys rotate ${old}`, "> /dev/full", "ENOSPC"],
      [`embed-keys create --agent ${agent}`, "--json > /dev/full", "ENOSPC"],
      [`embed-keys create --agent ${agent}`, "> /dev/full", "ENOSPC"],
    ] as const) {
      const shell = `set -o pipefail; "${process.execPath}" "${main}" ${command} ${place} ${more}`;
      const { status, stderr } = spawnSync("/bin/bash", ["--norc", "-c", shell], { env, encoding: "utf8" });
      const told = `error[ERR_INTERNAL]: Cannot write the output: ${reason}\nhint: nobody has the new key `;
      const [, id, revoke] = /^(\S+): stepvault (.*)\n$/.exec(stderr.split(told)[1] ?? "") ?? [];
      const wanted = `${command.split(" ")[0]} revoke ${id} ${place}`;
      expect([command, status, revoke]).toEqual([command, 4, wanted]);
      expect((await run(wanted.split(" "))).code).toBe(0);
    }
  }, 240_000);

  test("print a link that signs in once, and show and end the session", async () => {
    const made = await run(["sign-in", "ada", "--url", "https://stepvault.example.com/"]);
    const [origin, token] = made.stdout.trim().split("/sign-in#");
    expect([made.code, origin]).toEqual([0, "https://stepvault.example.com"]);
    expect(made.stderr).not.toContain(token);
    await vault.people.signIn({ token: token! });
    await expect(vault.people.signIn({ token: token! })).rejects.toMatchObject({ code: "ERR_SIGN_IN_LINK_INVALID" });
    expect(objectsOf(await run(["sessions", "list", "ada", "--json"]))).toHaveLength(1);
    expect((await run(["sessions", "end", "ada"])).stderr).toBe("ended: 1\n");
    const off = await run(["sign-in", "ada", "--url", "http://stepvault.example.com"]);
    expect([off.code, off.stdout, off.stderr]).toEqual([1, "", expect.stringContaining("error[ERR_SIGN_IN_OFF]")]);
  }, 120_000);

  test("refuse a change of the root key that nobody has prepared", async () => {
    const stages = await Promise.all(
      ["stage", "promote", "retire"].map(async (stage) => await run(["root-key", stage])),
    );
    for (const stage of stages) expect(stage.stderr).toContain("error[ERR_KEY_ROTATION]");
    expect(objectsOf(await run(["root-key", "rewrap", "--json"]))).toEqual([
      { organizationKeys: 0, projectKeys: 0, deploymentKeys: 0 },
    ]);
  }, 120_000);

  test("have shown no credential to anybody", () => {
    expect(shown.length).toBeGreaterThan(50);
    expect(shown.join("")).not.toContain(providerKey);
  });
});
