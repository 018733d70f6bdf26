-- What every step of a project may reach at most; null means no more than the step's own policy says.
alter table projects add column network json;
