-- What the operator grants an organization, and who may change credentials in its projects.
create table organization_credential_settings (
  organization_id uuid primary key references organizations,
  plan text not null default 'free' check (plan in ('free', 'team', 'enterprise')),
  rolled_out boolean not null default false,
  editors_manage boolean not null default true
);

-- One slot per integration and level; without a project it is the organization's. Version 0 is a slot that its transaction
-- has only taken. `fields` is text and not json: what is sealed is bound to these very characters.
create table credentials (
  id uuid primary key,
  organization_id uuid not null references organizations,
  project_id uuid references projects,
  integration text collate "C" not null check (integration ~ '^[a-z0-9-]{1,64}$'),
  version int not null default 0 check (version >= 0),
  disabled_at timestamptz,
  fields text not null default '[]',
  ciphertext bytea not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique nulls not distinct (organization_id, project_id, integration)
);
create index credentials_project on credentials (project_id) where project_id is not null;

-- "Inherit from Organization": of a class of integrations, or of one of them, which then decides.
create table credential_inheritance (
  project_id uuid not null references projects,
  class text not null check (class in ('integration', 'model')),
  -- Empty: the whole class.
  integration text collate "C" not null default '',
  inherits boolean not null,
  updated_at timestamptz not null default now(),
  primary key (project_id, class, integration)
);
