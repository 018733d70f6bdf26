-- For lists and searches that would otherwise read all that an organization has: the figures are in test/vault/scale.test.ts.
create index projects_listed on projects (organization_id, created_at, id);
create index organization_members_leading on organization_members (organization_id) where role <> 'member';
create index platform_keys_of_organization on platform_keys (organization_id, created_at, id)
where project_id is null and deleted_at is null;
create index embed_keys_parent on embed_keys (parent_key_id) where parent_key_id is not null;
-- Whose a credential is: a project's, or the organization's.
create index credentials_place on credentials (coalesce(project_id, organization_id), integration);
create index agent_steps_step on agent_steps (step_id);
create index secret_versions_unknown on secret_versions (secret_id, version)
where fingerprint is null and destroyed_at is null;
create index audit_denials_unrepeated on audit_denials (recorded_at) where repeats = 0;

-- Before that time a version that ends by itself need not be looked at again; null: nobody looked at it yet.
alter table secret_versions add column end_not_before timestamptz;
drop index secret_versions_ending;
create index secret_versions_ending on secret_versions (coalesce(end_not_before, '-infinity'))
where end_unused_hours is not null and destroyed_at is null;
