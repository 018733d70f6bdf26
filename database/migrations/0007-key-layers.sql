-- Layers of keys: root key, organization key, project key (data_keys), version key. What a root key is made of stands in
-- `source`: local bytes, or the KMS that holds it. There is at most one key in each state, which the index keeps so.
alter table master_keys
  add column source text not null default 'local',
  add column state text not null default 'active' check (state in ('staged', 'active', 'retained'));
create unique index master_keys_state on master_keys (state);

create table organization_keys (
  id uuid primary key,
  organization_id uuid not null unique references organizations,
  master_key_id uuid not null references master_keys,
  wrapped_key bytea not null,
  created_at timestamptz not null default now()
);
create index organization_keys_master_key on organization_keys (master_key_id, id);

-- A project's key is wrapped under its organization's; older ones under the root key, until they are wrapped again.
alter table data_keys
  alter column master_key_id drop not null,
  add column organization_key_id uuid references organization_keys,
  add constraint data_keys_one_parent check (num_nonnulls(master_key_id, organization_key_id) = 1);
create index data_keys_old_format on data_keys (id) where organization_key_id is null;

-- The key of one version, wrapped under the project's; null in versions whose value is sealed under the project's itself,
-- and in those whose key was destroyed.
alter table secret_versions
  add column wrapped_key bytea,
  add column destroyed_at timestamptz;

-- What a project's secrets are, signed: see vault/manifest.ts.
create table secret_manifests (
  project_id uuid primary key references projects,
  counter bigint not null,
  entries text not null,
  mac bytea not null
);
-- Digests do not compress: trying to costs time at every write, and undoing it at every read.
alter table secret_manifests alter column entries set storage external;
