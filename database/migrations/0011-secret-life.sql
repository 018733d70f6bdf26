-- An organization's own secrets live in a project of their own, of which nobody is a member and in which nothing runs: keys,
-- versions and the manifest are then the same at both levels.
alter table projects add column shared boolean not null default false;
create unique index projects_shared on projects (organization_id) where shared;

alter table secrets
  add column description text not null default '' check (char_length(description) <= 500),
  add column tags text[] not null default '{}' check (cardinality(tags) <= 20),
  add column expires_at timestamptz,
  -- After so many days with one version people are reminded of changing it.
  add column rotation_days int check (rotation_days between 1 and 3650),
  add column deleted_at timestamptz,
  -- Of an organization's secret: `all` projects, or the number of the list of those in secret_grants. Null: a project's own.
  add column access text check (access ~ '^(all|[1-9][0-9]{0,17})$');

-- `mac` binds a row to the number of its list, so that one of an earlier list is worth nothing.
create table secret_grants (
  secret_id uuid not null references secrets on delete cascade,
  project_id uuid not null references projects on delete cascade,
  mac bytea not null,
  primary key (secret_id, project_id)
);
create index secret_grants_project on secret_grants (project_id);

alter table secret_versions
  -- Under a key of the organization, and only comparable within it.
  add column fingerprint bytea,
  add column created_by_kind text check (created_by_kind in ('system', 'person', 'key')),
  add column created_by text,
  -- A version that was rotated away is destroyed once nothing used it for so long.
  add column end_unused_hours int check (end_unused_hours between 1 and 8760);
create index secret_versions_fingerprint on secret_versions (fingerprint) where fingerprint is not null;
create index secret_versions_ending on secret_versions (secret_id, version)
where end_unused_hours is not null and destroyed_at is null;

-- Who used which version when, one row for each way of use; rows outlive the secret, as who asks after a leak needs them.
create table secret_uses (
  secret_id uuid not null,
  version int not null,
  project_id uuid not null,
  -- Empty: code that was sent along with its run.
  step_id text not null default '',
  -- Empty: the orchestrator did not say.
  caller text not null default '' check (char_length(caller) <= 200),
  first_used_at timestamptz not null,
  last_used_at timestamptz not null,
  last_run_id uuid not null,
  uses bigint not null default 1,
  primary key (secret_id, version, project_id, step_id, caller)
);

-- That a version's key was destroyed, in the very characters that were signed; there is no row to refer to any more.
create table secret_tombstones (
  secret_id uuid not null,
  version int not null,
  project_id uuid not null,
  organization_id uuid not null,
  body text not null,
  signature text not null,
  primary key (secret_id, version)
);
create index secret_tombstones_project on secret_tombstones (project_id);

alter table credentials add column fingerprints bytea[] not null default '{}';
create index credentials_fingerprints on credentials using gin (fingerprints);

-- Who saved a version of a step: secrets may be for certain roles only.
alter table steps
  add column created_by_kind text check (created_by_kind in ('system', 'person', 'key')),
  add column created_by text;
