-- Runs that are submitted again and again, by the times of a cron expression. The worker that finds one due submits its run
-- under an id made of the schedule and the time, and then moves next_at on: at every moment of dying it is once.
create table schedules (
  id uuid primary key,
  project_id uuid not null references projects,
  name text not null,
  cron text not null,
  time_zone text not null,
  job json not null,
  enabled boolean not null default true,
  next_at timestamptz not null,
  last_due_at timestamptz,
  last_run_id uuid,
  -- Of the last submission, when it was refused.
  last_error_code text,
  created_by_kind text not null,
  created_by text not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index schedules_due on schedules (next_at) where enabled;
create index schedules_project on schedules (project_id, id);

-- Work that one process does for all, and when it was last begun.
create table maintenance (
  name text primary key,
  begun_at timestamptz not null
);
