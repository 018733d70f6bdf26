-- One chain per organization: each event's hash covers the one before. The head says where the chain ends, so that a
-- removed end shows too.
create table audit_events (
  organization_id uuid not null references organizations,
  seq bigint not null check (seq > 0),
  time timestamptz not null,
  project_id uuid,
  -- Text and not json: the hash is over these very characters.
  body text not null,
  hash bytea not null,
  primary key (organization_id, seq)
);
create index audit_events_project on audit_events (project_id, seq desc) where project_id is not null;

create table audit_heads (
  organization_id uuid primary key references organizations,
  seq bigint not null,
  hash bytea not null
);
