-- People are known by the id that whoever signs them in gives them; what they are called is for people to read.
create table organization_members (
  organization_id uuid not null references organizations,
  person_id text not null check (char_length(person_id) between 1 and 200),
  name text not null check (char_length(name) between 1 and 200),
  role text not null check (role in ('owner', 'admin', 'member')),
  created_at timestamptz not null default now(),
  primary key (organization_id, person_id)
);
create index organization_members_person on organization_members (person_id);

-- Only members of the organization are members of its projects.
create table project_members (
  project_id uuid not null references projects,
  organization_id uuid not null,
  person_id text not null,
  role text not null check (role in ('admin', 'editor', 'member', 'viewer')),
  can_create_assets boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (project_id, person_id),
  foreign key (organization_id, person_id) references organization_members on delete cascade
);
create index project_members_person on project_members (person_id);
