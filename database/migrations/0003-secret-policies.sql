-- What may be done with a version's value, in the very bytes that the value is sealed with: hence text and not json. Null
-- is the readable policy, of versions that were sealed without one.
alter table secret_versions add column policy text;
