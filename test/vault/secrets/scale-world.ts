/**
 * A deployment with 10,000 projects and millions of rows, for the proof that the vault does not slow down with its size. Rows are
 * made by SQL; what is opened by the tests is set through the vault. Half of all projects are one organization's, "large";
 * "busy" is its project with 1,000 secrets, "quiet" a project of a small organization.
 */
import { rm } from "node:fs/promises";
import { saveStep } from "../../../runs/steps.ts";
import { openVault, type Vault } from "../../../vault/vault.ts";
import { openTemporary, type Temporary } from "../../database/temporary.ts";

export const counts = {
  projects: 10_000,
  secrets: 200_000,
  busySecrets: 1_000,
  keys: 20_000,
  events: 500_000,
  uses: 200_000,
  steps: 100_000,
  runs: 50_000,
  members: 5_000,
} as const;

export interface Scale {
  readonly temporary: Temporary;
  readonly vault: Vault;
  readonly large: string;
  readonly small: string;
  readonly busy: string;
  readonly quiet: string;
  /** A saved step of the busy project, in two versions. */
  readonly stepId: string;
  readonly projectKey: string;
  readonly organizationKey: string;
  readonly embedKey: string;
  close(): Promise<void>;
}

export async function openScale(): Promise<Scale> {
  const temporary = await openTemporary();
  const vault = await openVault(temporary.database, temporary.config);
  const real = await setReal(temporary, vault);
  await makeRows(temporary, real);
  // Rows that SQL made are signed with the others.
  await vault.rebuildManifest(real.busy);
  await vault.rebuildManifest({ organizationId: real.large });
  return {
    ...real,
    temporary,
    vault,
    async close() {
      vault.close();
      // Without the search for values: it would read all of these rows, and no value is in any that SQL made.
      await temporary.database.close();
      await rm(temporary.config.dataDir, { recursive: true, force: true });
    },
  };
}

type Real = Omit<Scale, "temporary" | "vault" | "close">;

/** What is opened, checked or run. */
async function setReal({ database }: Temporary, vault: Vault): Promise<Real> {
  const { tenancy, secrets, keys, credentials } = vault;
  const large = (await tenancy.createOrganization("Large")).id;
  const small = (await tenancy.createOrganization("Small")).id;
  const busy = (await tenancy.createProject({ organizationId: large, name: "Busy" })).id;
  const quiet = (await tenancy.createProject({ organizationId: small, name: "Quiet" })).id;
  for (let i = 0; i < 20; i += 1)
    await secrets.set({ place: { projectId: busy }, name: `KEY_${i}`, value: `busy-value-${i}-0123456789` });
  await secrets.set({ place: { projectId: busy }, name: "KEY_0", value: "busy-value-0-again", endUnusedHours: 1 });
  const organization = { organizationId: large };
  await secrets.set({ place: organization, name: "FOR_ALL", value: "value-for-all-0123456789", access: "all" });
  await secrets.set({ place: organization, name: "FOR_SOME", value: "value-for-some-0123456789", access: [busy] });
  await secrets.set({ place: { projectId: quiet }, name: "ONLY", value: "quiet-value-0123456789" });
  const saved = { projectId: busy, name: "Charge", by: { kind: "system", id: "operator" } } as const;
  const step = { language: "javascript", code: "return <<secrets.KEY_0>> + <<secrets.FOR_SOME>>" } as const;
  const { id: stepId } = await saveStep(database, { ...saved, step });
  await saveStep(database, { ...saved, id: stepId, step });
  for (const [personId, role] of [
    ["owner", "owner"],
    ["ann", "member"],
  ] as const)
    await tenancy.setOrganizationMember({ organizationId: large, personId, name: personId, role });
  await tenancy.setProjectMember({ projectId: busy, personId: "ann", role: "editor" });
  const wanted = { name: "CI", scopes: ["trigger"], expiry: "none" } as const;
  const { key: projectKey, metadata } = await keys.createForProject({ projectId: busy, ...wanted });
  const { key: organizationKey } = await keys.createForOrganization({ ...organization, access: [busy], ...wanted });
  const agent = { projectId: busy, kind: "agent", name: "Helper", public: true, stepIds: [stepId] } as const;
  const { id: agentId } = await vault.agents.create(agent);
  const maker = vault.as({
    kind: "key",
    id: metadata.id,
    organizationId: large,
    projects: [busy],
    scopes: ["trigger"],
  });
  const { key: embedKey } = await maker.embedKeys.create({ projectId: busy, agentId });
  await credentials.set({
    place: { projectId: busy },
    integration: "openai",
    fields: { api_key: "busy-credential-0123456789" },
  });
  return { large, small, busy, quiet, stepId, projectKey, organizationKey, embedKey };
}

async function makeRows({ database }: Temporary, real: Real): Promise<void> {
  await database.transaction(async (client) => {
    const run = async (text: string, values: unknown[] = []): Promise<void> => void (await client.query(text, values));
    await run("set local synchronous_commit = off");
    // Ids in the order of their making, as those of the vault are.
    await run(`create function made(kind text, i bigint) returns uuid immutable language sql
      return (left(md5(kind), 8) || '-0000-7000-8000-' || lpad(to_hex(i), 12, '0'))::uuid`);
    await run(
      `create function organization_of(i bigint) returns uuid immutable language sql
       return case when i <= ${counts.projects / 2} then '${real.large}'::uuid else made('organization', i % 98) end`,
    );
    const restore = await dropForeignKeys(client);
    for (const text of statements) await run(text);
    for (const text of statementsOfReal)
      await run(text.replaceAll(/\$(\w+)/g, (_, name: keyof Real) => `'${real[name]}'`));
    for (const text of restore) await run(text);
  });
  await database.query("analyze");
}

/** Checking each row of millions on its own takes a minute; all at once, when they are put back, a second. */
async function dropForeignKeys(client: { query: Temporary["database"]["query"] }): Promise<string[]> {
  const { rows } = await client.query<{ drop: string; restore: string }>(
    `select format('alter table %s drop constraint %I', conrelid::regclass, conname) as drop,
            format('alter table %s add constraint %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) as restore
     from pg_constraint where contype = 'f' and connamespace = 'stepvault'::regnamespace`,
  );
  for (const { drop } of rows) await client.query(drop);
  return rows.map(({ restore }) => restore);
}

const { projects, secrets, keys, events, uses, steps, runs, members } = counts;

const statements = [
  `insert into organizations (id, name) select made('organization', i), 'Organization' from generate_series(0, 97) i`,
  `insert into organization_keys (id, organization_id, master_key_id, wrapped_key)
   select made('organization key', i), made('organization', i), (select id from master_keys), 'key' from generate_series(0, 97) i`,
  `insert into projects (id, organization_id, name) select made('project', i), organization_of(i), 'Project ' || i
   from generate_series(1, ${projects}) i`,
  `insert into data_keys (id, project_id, organization_key_id, wrapped_key)
   select made('data key', i), made('project', i), k.id, 'key' from generate_series(1, ${projects}) i
   join organization_keys k on k.organization_id = organization_of(i)`,
  `insert into secret_manifests (project_id, counter, entries, mac)
   select made('project', i), 20, repeat('x', 1600), 'mac' from generate_series(1, ${projects}) i`,
  `insert into secrets (id, project_id, name, current_version)
   select made('secret', i), made('project', 1 + i / 20), 'KEY_' || i % 20, case when i % 10 = 1 then 2 else 1 end
   from generate_series(0, ${secrets - 1}) i`,
  // Earlier versions wait for their end, and are in use.
  `insert into secret_versions (secret_id, version, data_key_id, ciphertext, wrapped_key, maskable, fingerprint, policy, end_unused_hours)
   select made('secret', i), v, made('data key', 1 + i / 20), repeat('c', 60)::bytea, repeat('k', 61)::bytea, true,
          sha256((i || ' ' || v)::bytea), '{"sealed":false}', case when v = 1 and i % 10 = 1 then 24 end
   from generate_series(0, ${secrets - 1}) i, generate_series(1, case when i % 10 = 1 then 2 else 1 end) v`,
  `insert into secret_uses (secret_id, version, project_id, step_id, caller, first_used_at, last_used_at, last_run_id)
   select made('secret', i), 1, made('project', 1 + i / 20), made('step', i % ${projects})::text, 'agent-' || i % 7,
          now(), now() - make_interval(mins => i % 100000), made('run', i % ${runs}) from generate_series(0, ${uses - 1}) i`,
  `insert into secret_tombstones (secret_id, version, project_id, organization_id, body, signature)
   select made('gone', i), 1, made('project', i), organization_of(i), '{}', '' from generate_series(1, ${projects}) i`,
  `insert into steps (id, version, project_id, name, language, code)
   select made('step', i), v, made('project', 1 + i / 5), 'Step', 'javascript',
          '// ' || repeat('x', 200) || ' <<secrets.KEY_' || i % 20 || '>>'
   from generate_series(0, ${steps / 2 - 1}) i, generate_series(1, 2) v`,
  `insert into platform_keys (id, organization_id, project_id, all_projects, name, scopes, region, digest, pepper_version, hint,
     created_by_kind, created_by, created_at)
   select made('key', i), organization_of(1 + i % ${projects}), case when i % 50 > 0 then made('project', 1 + i % ${projects}) end,
          i % 100 = 0, 'Key', '{trigger}', 'eu', sha256(i::text::bytea), 1, 'sk-eu_', 'system', 'operator', now()
   from generate_series(1, ${keys}) i`,
  `insert into platform_key_projects (key_id, project_id)
   select made('key', i), made('project', 1 + (i + n) % ${projects}) from generate_series(50, ${keys}, 100) i, generate_series(0, 9) n`,
  `insert into secret_grants (secret_id, project_id, mac)
   select made('secret', i), made('project', 1 + i % ${projects}), 'mac' from generate_series(0, 29999) i`,
  `insert into agents (id, project_id, kind, name, public)
   select made('agent', i), made('project', i), 'agent', 'Agent', true from generate_series(1, ${projects}) i`,
  `insert into agent_steps (agent_id, step_id)
   select made('agent', 1 + i % ${projects}), made('step', i) from generate_series(0, ${steps / 2 - 1}) i`,
  `insert into embed_keys (id, organization_id, project_id, agent_id, parent_key_id, region, digest, pepper_version, hint,
     conversation_prefix, created_by_kind, created_by, created_at)
   select made('embed', i), organization_of(1 + i % ${projects}), made('project', 1 + i % ${projects}), made('agent', 1 + i % ${projects}),
          made('key', i), 'eu', sha256(('embed' || i)::bytea), 1, 'ek-eu_', 'prefix' || i, 'key', made('key', i)::text, now()
   from generate_series(1, ${keys}) i`,
  `insert into credentials (id, organization_id, project_id, integration, version, fingerprints)
   select made('credential', i), organization_of(1 + i % ${projects}), made('project', 1 + i % ${projects}),
          (array['openai', 'anthropic', 'google'])[1 + i / ${projects}], 1, array[sha256(i::text::bytea)]
   from generate_series(0, ${3 * projects - 1}) i`,
  `insert into organization_members (organization_id, person_id, name, role)
   select organization_of(i), 'person-' || i, 'Person ' || i, case when i % 2500 = 0 then 'admin' else 'member' end
   from generate_series(1, ${2 * members}) i`,
  `insert into project_members (project_id, organization_id, person_id, role)
   select made('project', i), organization_of(i), 'person-' || i, 'editor' from generate_series(1, ${projects}) i`,
  `insert into audit_events (organization_id, seq, time, project_id, body, hash)
   select made('organization', i % 98), 1 + i / 98, now(), case when i % 5 > 0 then made('project', ${projects / 2} + 1 + i % ${projects / 2}) end,
          '{"event":"secret.use","filler":"' || repeat('x', 200) || '"}', sha256('') from generate_series(0, ${(2 * events) / 5 - 1}) i`,
  `insert into audit_denials (organization_id, digest, recorded_at, repeats)
   select organization_of(i), sha256(i::text::bytea), now() - make_interval(mins => 1 + i), 1 from generate_series(1, ${projects}) i`,
  `insert into runs (id, project_id, status, created_at, ended_at)
   select made('run', i), made('project', 1 + i % ${projects}), 'succeeded', now(), now() from generate_series(0, ${runs - 1}) i`,
  `insert into workers (id) values ('gone')`,
  `update runs set status = 'running', ended_at = null, worker_id = 'gone', cancel_requested_at = now()
   where id in (select made('run', i) from generate_series(1, 20) i)`,
  // One project has 10,000 runs that wait; others hold some, of which one in a hundred is due.
  `insert into runs (id, project_id, status, turn, dispatched_at)
   select made('waiting', i), made('project', 1), 'queued', i, now() from generate_series(1, 10000) i`,
  `insert into runs (id, project_id, status, run_at)
   select made('held', i), made('project', 1 + i % 100), 'queued', now() + interval '1 day' * (i % 100) from generate_series(100, 10099) i`,
  `insert into runs (id, project_id, status, waits_for)
   select made('needing', i), made('project', 3), 'queued', 1 from generate_series(1, 100) i`,
  `insert into run_needs (run_id, name, needed_run_id)
   select made('needing', i), 'first', made('waiting', i) from generate_series(1, 100) i`,
  `insert into run_events (run_day, run_id, seq, kind, body)
   select (now() at time zone 'utc')::date, made('run', i % ${runs}), i / ${runs}, 'stdout', '{"kind":"stdout","text":"x"}' from generate_series(0, ${2 * runs - 1}) i`,
];

/** More rows of what is real: `$name` is an id of it. */
const statementsOfReal = [
  `insert into secrets (id, project_id, name, current_version)
   select made('busy', i), $busy, 'KEY_' || i, 1 from generate_series(20, ${counts.busySecrets - 1}) i`,
  `insert into secrets (id, project_id, name, current_version, access)
   select made('shared', i), p.id, 'SHARED_' || i, 1, '1' from projects p, generate_series(1, 500) i
   where p.shared and p.organization_id = $large`,
  `insert into secret_versions (secret_id, version, data_key_id, ciphertext, wrapped_key, maskable, fingerprint, policy)
   select s.id, 1, k.id, repeat('c', 60)::bytea, repeat('k', 61)::bytea, true, sha256(s.id::text::bytea), '{"sealed":false}'
   from secrets s join data_keys k on k.project_id = s.project_id
   where not exists (select from secret_versions v where v.secret_id = s.id)`,
  `insert into secret_grants (secret_id, project_id, mac)
   select made('shared', i), made('project', 100 * n + i % 100 + 1), 'mac' from generate_series(1, 500) i, generate_series(0, 3) n`,
  // An organization's secret that thousands of projects use, and one of a project that runs for thousands of callers.
  `insert into secret_uses (secret_id, version, project_id, step_id, caller, first_used_at, last_used_at, last_run_id)
   select s.id, 1, made('project', i), '', '', now(), now() - interval '40 days', made('run', i)
   from secrets s, generate_series(1, 5000) i where s.name = 'FOR_ALL'`,
  `insert into secret_uses (secret_id, version, project_id, step_id, caller, first_used_at, last_used_at, last_run_id)
   select s.id, 1, $busy, '', 'agent-' || i, now(), now() - interval '40 days', made('run', i)
   from secrets s, generate_series(1, 2000) i where s.name = 'KEY_1' and s.project_id = $busy`,
  `insert into audit_events (organization_id, seq, time, project_id, body, hash)
   select $large, h.seq + i, now(), case when i % 5 > 0 then made('project', 1 + i % ${projects / 2}) end,
          '{"event":"secret.use","filler":"' || repeat('x', 200) || '"}', h.hash
   from audit_heads h, generate_series(1, ${(3 * events) / 5}) i where h.organization_id = $large`,
  `update audit_heads set seq = seq + ${(3 * events) / 5} where organization_id = $large`,
  // Kept elsewhere, they have no fingerprint.
  `update secret_versions set fingerprint = null, policy = '{"sealed":false,"source":{}}'
   where secret_id in (select made('secret', i) from generate_series(5, 2000, 10) i)`,
  // What is not yet part of the index would be read whole.
  `select gin_clean_pending_list('credentials_fingerprints')`,
  `insert into platform_keys (id, organization_id, all_projects, name, scopes, region, digest, pepper_version, hint, created_by_kind,
     created_by, created_at)
   select made('large key', i), $large, true, 'Key', '{trigger}', 'eu', sha256(('large' || i)::bytea), 1, 'sk-org-eu_', 'system',
          'operator', now() from generate_series(1, 20) i`,
];
