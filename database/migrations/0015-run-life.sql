-- A run's way from its submission to its end, kept here and not in the queue: what the queue loses is found again. A run is
-- held (dispatched_at is null) until its time has come, the runs that it needs have ended and its project has room.
alter table runs
  drop column lease_until,
  -- What is to be run, until the run has ended.
  add column job json,
  -- Of the whole request: the same id for something else is an error.
  add column request_digest bytea,
  -- When the run was last given to the queue.
  add column dispatched_at timestamptz,
  -- Its place among the waiting runs of all projects: runs/turns.ts.
  add column turn bigint not null default 0,
  add column run_at timestamptz,
  -- How many of the runs that it needs have not ended.
  add column waits_for int not null default 0 check (waits_for >= 0),
  add column attempt int not null default 1,
  -- The job that asked for it, when an orchestrator added that to the queue by itself.
  add column queue_job_id text,
  add column submitted_by_kind text,
  add column submitted_by text,
  add column day date not null default (now() at time zone 'utc')::date,
  add column events_bytes bigint not null default 0;
update runs set day = (created_at at time zone 'utc')::date;
update runs set dispatched_at = created_at where status = 'queued';
update runs set worker_id = 'unknown' where status = 'running' and worker_id is null;

create index runs_turn on runs (turn) where status = 'queued' and dispatched_at is not null;
create index runs_project_turn on runs (project_id, turn) where status = 'queued' and dispatched_at is not null;
create index runs_dispatched on runs (dispatched_at) where status = 'queued' and dispatched_at is not null;
create index runs_held on runs (project_id, (coalesce(run_at, created_at)))
where status = 'queued' and dispatched_at is null and waits_for = 0;
create index runs_waits on runs (id) where status = 'queued' and dispatched_at is null and waits_for > 0;
create index runs_running on runs (worker_id) where status = 'running';
create index runs_project_running on runs (project_id) where status = 'running';
create index runs_day on runs (day);

-- The run waits for the other one, and finds its output in `steps` under that name.
create table run_needs (
  run_id uuid not null references runs on delete cascade,
  needed_run_id uuid not null,
  name text not null,
  primary key (run_id, name)
);
create index run_needs_needed on run_needs (needed_run_id);

-- A worker adds to its beat while it lives. Others compare beats by their own clocks: no clock of two machines is compared.
create table workers (
  id text primary key,
  beat bigint not null default 0,
  started_at timestamptz not null default now(),
  ended_at timestamptz
);
insert into workers (id) select distinct worker_id from runs where status = 'running';

alter table projects
  add column runs_at_once_max int check (runs_at_once_max > 0),
  add column runs_per_minute_max int check (runs_per_minute_max > 0),
  add column retention_days int check (retention_days > 0),
  add column retention_bytes_max bigint check (retention_bytes_max > 0);

-- By the day of the run's beginning, so that old events go without a trace of work: runs/partitions.ts.
create table run_events_by_day (
  run_day date not null,
  run_id uuid not null,
  seq int not null,
  time timestamptz not null default now(),
  kind text not null,
  body json not null,
  primary key (run_day, run_id, seq)
) partition by range (run_day);
create table run_events_other partition of run_events_by_day default;
insert into run_events_by_day
select r.day, e.run_id, e.seq, e.time, e.kind, e.body from run_events e join runs r on r.id = e.run_id;
drop table run_events;
alter table run_events_by_day rename to run_events;

alter table steps
  add column description text,
  add column params_schema json,
  add column retry json;

-- The version that runs when none is named.
create table published_steps (
  step_id uuid primary key,
  project_id uuid not null references projects,
  version int not null,
  published_by_kind text,
  published_by text,
  published_at timestamptz not null default now(),
  foreign key (step_id, version) references steps
);
create index published_steps_project on published_steps (project_id, step_id);
