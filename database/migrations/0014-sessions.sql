-- How people sign in without an issuer of tokens: see vault/people/. Of links and sessions only digests are here.
create table sign_in_links (
  id uuid primary key,
  digest bytea not null unique check (octet_length(digest) = 32),
  pepper_version int not null,
  person_id text not null check (char_length(person_id) between 1 and 200),
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- Of its one use. The row stays a while, so that a second use is told from a guess.
  used_at timestamptz
);
create index sign_in_links_expires on sign_in_links (expires_at);

create table sessions (
  id uuid primary key,
  digest bytea not null unique check (octet_length(digest) = 32),
  pepper_version int not null,
  person_id text not null check (char_length(person_id) between 1 and 200),
  created_at timestamptz not null,
  -- To the minute.
  last_seen_at timestamptz not null,
  -- Whatever is done with it.
  ends_at timestamptz not null check (ends_at > created_at),
  -- By signing out.
  ended_at timestamptz
);
create index sessions_person on sessions (person_id, id);
create index sessions_ends on sessions (ends_at);
