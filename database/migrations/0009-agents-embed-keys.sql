-- Agents and workforces: named groups of a project's steps. Public ones may be reached with embed keys.
create table agents (
  id uuid primary key,
  project_id uuid not null references projects,
  kind text not null check (kind in ('agent', 'workforce')),
  name text not null check (char_length(name) between 1 and 200),
  public boolean not null default false,
  created_at timestamptz not null default now()
);
create index agents_project on agents (project_id, id);

-- A step's id alone: whichever version is the latest.
create table agent_steps (
  agent_id uuid not null references agents on delete cascade,
  step_id uuid not null,
  primary key (agent_id, step_id)
);

-- A key for browsers, for one agent or workforce. Who made it, and by which key, is asked again at each use.
create table embed_keys (
  id uuid primary key,
  organization_id uuid not null references organizations,
  project_id uuid not null references projects,
  agent_id uuid not null references agents on delete cascade,
  parent_key_id uuid references platform_keys,
  region text not null check (region in ('us', 'eu', 'au')),
  digest bytea not null unique check (octet_length(digest) = 32),
  pepper_version int not null,
  hint text not null,
  conversation_prefix text not null unique,
  -- Null: any.
  origins text[] check (cardinality(origins) > 0),
  created_by_kind text not null check (created_by_kind in ('system', 'person', 'key')),
  created_by text not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz,
  requests_max bigint check (requests_max > 0),
  requests_used bigint not null default 0,
  requests_per_minute_max int check (requests_per_minute_max > 0),
  -- The minute of the last request, and how many there were in it.
  minute timestamptz,
  minute_used int not null default 0,
  check ((created_by_kind = 'key') = (parent_key_id is not null))
);
create index embed_keys_project on embed_keys (project_id, id);
create index embed_keys_agent on embed_keys (agent_id);
