-- Unqualified names mean the schema stepvault, by the connection's search_path.

create table organizations (
  id uuid primary key,
  name text not null check (char_length(name) between 1 and 200),
  created_at timestamptz not null default now()
);

create table projects (
  id uuid primary key,
  organization_id uuid not null references organizations,
  name text not null check (char_length(name) between 1 and 200),
  created_at timestamptz not null default now()
);
create index projects_organization on projects (organization_id, id);

-- check_value is a known text sealed under the master key: it tells a wrong key at start.
create table master_keys (
  id uuid primary key,
  check_value bytea not null,
  created_at timestamptz not null default now()
);

create table data_keys (
  id uuid primary key,
  project_id uuid not null unique references projects,
  master_key_id uuid not null references master_keys,
  wrapped_key bytea not null,
  created_at timestamptz not null default now()
);

-- Collation C: names are ASCII, and lower() must not depend on the server's locale (Turkish I).
create table secrets (
  id uuid primary key,
  project_id uuid not null references projects,
  name text collate "C" not null check (name ~ '^[A-Za-z_][A-Za-z0-9_]{0,127}$'),
  current_version int not null default 0,
  disabled_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (project_id, name)
);
create unique index secrets_name_folded on secrets (project_id, lower(name));

create table secret_versions (
  secret_id uuid not null references secrets on delete cascade,
  version int not null check (version > 0),
  data_key_id uuid not null references data_keys,
  ciphertext bytea not null,
  maskable boolean not null,
  created_at timestamptz not null default now(),
  primary key (secret_id, version)
);

-- json and not jsonb wherever a step's text may end up: jsonb refuses \u0000 and lone surrogates, json keeps both.
create table steps (
  id uuid not null,
  version int not null check (version > 0),
  project_id uuid not null references projects,
  name text not null,
  language text not null,
  code text not null,
  inputs json,
  limits json,
  network json,
  created_at timestamptz not null default now(),
  primary key (id, version)
);
create index steps_project on steps (project_id, id, version desc);

create table runs (
  id uuid primary key,
  project_id uuid not null references projects,
  status text not null check (
    status in (
      'queued', 'running', 'succeeded', 'failed', 'timed_out', 'out_of_memory',
      'limit_exceeded', 'cancelled', 'crashed', 'rejected'
    )
  ),
  language text,
  step_id uuid,
  labels json,
  result json,
  worker_id text,
  -- Until when the worker that runs it answers for it; renewed while it lives.
  lease_until timestamptz,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz
);
create index runs_lease on runs (lease_until) where status = 'running';
create index runs_project on runs (project_id, created_at desc, id);

create table run_events (
  run_id uuid not null references runs on delete cascade,
  seq int not null,
  time timestamptz not null default now(),
  kind text not null,
  body json not null,
  primary key (run_id, seq)
);
