-- The version of the run's saved step, chosen at its first claim: all attempts run the same code, and what that version says of
-- attempts holds, whatever was saved meanwhile.
alter table runs add column step_version int;
