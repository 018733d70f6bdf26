-- Of a step that was saved by a request with the header Idempotency-Key: which version it was, as a repeat is told it.
alter table idempotent_requests add column thing_version int;
