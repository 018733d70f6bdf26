-- Random keys of the deployment itself, each wrapped by a root key: see vault/deployment-keys.ts.
create table deployment_keys (
  id uuid primary key,
  purpose text not null check (purpose in ('pepper')),
  version int not null check (version > 0),
  master_key_id uuid not null references master_keys,
  wrapped_key bytea not null,
  created_at timestamptz not null default now(),
  unique (purpose, version)
);
create index deployment_keys_master_key on deployment_keys (master_key_id, id);

-- Denials that were recorded lately, and how often each came again since: see vault/denials.ts. A row is a digest of who
-- was denied what and why; its event is in the audit log.
create table audit_denials (
  organization_id uuid not null references organizations,
  digest bytea not null check (octet_length(digest) = 32),
  recorded_at timestamptz not null,
  repeats bigint not null default 0,
  primary key (organization_id, digest)
);
create index audit_denials_recorded on audit_denials (recorded_at);
