-- What was made by a request with the header Idempotency-Key, for a day: a request that is sent again makes nothing. Written in
-- the transaction that makes the thing. Of the header and of the request only digests are here, and nothing of the answer, which
-- may hold a key that is shown once.
create table idempotent_requests (
  principal text not null,
  operation text not null,
  key_digest bytea not null check (octet_length(key_digest) = 32),
  request_digest bytea not null check (octet_length(request_digest) = 32),
  -- Null only inside the transaction that makes it.
  thing_id uuid,
  created_at timestamptz not null default now(),
  primary key (principal, operation, key_digest)
);
create index idempotent_requests_created on idempotent_requests (created_at);
