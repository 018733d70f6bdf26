-- Cancelling a run: asked for here, by whoever may, and carried out by the worker that has the run or next looks.
alter table runs add column cancel_requested_at timestamptz;
create index runs_cancel on runs (cancel_requested_at)
where cancel_requested_at is not null and ended_at is null;
