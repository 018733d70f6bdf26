-- The platform's own keys. Of a key itself only a digest is here; `hint` is what people tell keys apart by.
create table platform_keys (
  id uuid primary key,
  organization_id uuid not null references organizations,
  -- Null: a key of the organization, for all of its projects or for those in platform_key_projects.
  project_id uuid references projects,
  all_projects boolean not null default false,
  name text not null check (char_length(name) between 1 and 200),
  scopes text[] not null check (cardinality(scopes) > 0),
  region text not null check (region in ('us', 'eu', 'au')),
  digest bytea not null unique check (octet_length(digest) = 32),
  pepper_version int not null,
  hint text not null,
  created_by_kind text not null check (created_by_kind in ('system', 'person', 'key')),
  created_by text not null,
  created_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  -- Out of the lists; the row stays, as audit events name it.
  deleted_at timestamptz,
  rotated_from uuid unique references platform_keys,
  rotated_to uuid unique references platform_keys,
  -- To the minute.
  last_used_at timestamptz,
  check (project_id is null or not all_projects),
  check (deleted_at is null or revoked_at is not null)
);
create index platform_keys_organization on platform_keys (organization_id, id);
create index platform_keys_project on platform_keys (project_id, id) where project_id is not null;

create table platform_key_projects (
  key_id uuid not null references platform_keys on delete cascade,
  project_id uuid not null references projects,
  primary key (key_id, project_id)
);
create index platform_key_projects_project on platform_key_projects (project_id);

-- What keys of an organization and of its projects must be like when they are made or rotated.
create table organization_key_policies (
  organization_id uuid primary key references organizations,
  expiry_required boolean not null,
  expiry_days_max int check (expiry_days_max between 7 and 90)
);
