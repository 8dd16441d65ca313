-- +goose Up

CREATE TABLE tenants (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    parent     TEXT   NOT NULL,
    notes      TEXT   NOT NULL,
    quota      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);
CREATE UNIQUE INDEX tenants_name ON tenants (lower(name));

-- Empty: the estate's own.
ALTER TABLE vms ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
CREATE INDEX vms_tenant ON vms (tenant, name_key, id);
ALTER TABLE jobs ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
CREATE INDEX jobs_tenant ON jobs (tenant, id);
ALTER TABLE events ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
CREATE INDEX events_tenant ON events (tenant, seq);

-- What a job that has not ended may add to its tenant's usage beyond what the rows of VMs say already.
CREATE TABLE quota_holds (
    job_id        TEXT   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    tenant        TEXT   NOT NULL,
    vms           BIGINT NOT NULL,
    vcpus         BIGINT NOT NULL,
    memory_bytes  BIGINT NOT NULL,
    storage_bytes BIGINT NOT NULL,
    snapshots     BIGINT NOT NULL,
    PRIMARY KEY (job_id, tenant)
);
CREATE INDEX quota_holds_tenant ON quota_holds (tenant);

CREATE TABLE roles (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    notes       TEXT   NOT NULL,
    permissions TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE user_groups (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    notes      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX user_groups_name ON user_groups (lower(name));

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

CREATE TABLE bindings (
    id           TEXT   NOT NULL PRIMARY KEY,
    subject_kind TEXT   NOT NULL,
    subject_id   TEXT   NOT NULL,
    role         TEXT   NOT NULL,
    scope        TEXT   NOT NULL,
    scope_id     TEXT   NOT NULL,
    deny         BIGINT NOT NULL,
    condition    TEXT   NOT NULL,
    created_by   TEXT   NOT NULL,
    created_at   BIGINT NOT NULL
);
CREATE UNIQUE INDEX bindings_same ON bindings (subject_kind, subject_id, role, scope, scope_id, deny, condition);

-- Roles of people become bindings at the estate; the two that there were have new names.
INSERT INTO bindings (id, subject_kind, subject_id, role, scope, scope_id, deny, condition, created_by, created_at)
    SELECT 'bind_' || substr(id, 6), 'user', id, CASE role WHEN 'admin' THEN 'platform-admin' WHEN 'viewer' THEN 'auditor' ELSE role END, 'estate', '', 0, '', 'system', created_at
    FROM users WHERE role <> '';
ALTER TABLE users DROP COLUMN role;
ALTER TABLE users ADD COLUMN full_name TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN email TEXT NOT NULL DEFAULT '';
ALTER TABLE users ADD COLUMN disabled BIGINT NOT NULL DEFAULT 0;

UPDATE tokens SET role = CASE role WHEN 'admin' THEN 'platform-admin' WHEN 'viewer' THEN 'auditor' ELSE role END;
ALTER TABLE tokens ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE tokens ADD COLUMN permissions TEXT NOT NULL DEFAULT '[]';

CREATE TABLE signins (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    browser    TEXT   NOT NULL,
    address    TEXT   NOT NULL,
    proof      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX signins_user ON signins (user_id);
CREATE INDEX signins_expires ON signins (expires_at);

CREATE TABLE factors (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    secret     TEXT   NOT NULL,
    step       BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used  BIGINT NOT NULL
);
CREATE INDEX factors_user ON factors (user_id);

CREATE TABLE recovery_codes (
    user_id TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    TEXT   NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE audit (
    seq      BIGINT NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    actor    TEXT   NOT NULL,
    subject  TEXT   NOT NULL,
    address  TEXT   NOT NULL,
    proof    TEXT   NOT NULL,
    action   TEXT   NOT NULL,
    res_kind TEXT   NOT NULL,
    res_id   TEXT   NOT NULL,
    res_name TEXT   NOT NULL,
    tenant   TEXT   NOT NULL,
    outcome  TEXT   NOT NULL,
    job_id   TEXT   NOT NULL,
    request  TEXT   NOT NULL,
    message  TEXT   NOT NULL,
    before   TEXT   NOT NULL,
    after    TEXT   NOT NULL,
    prev     TEXT   NOT NULL,
    hash     TEXT   NOT NULL
);
CREATE INDEX audit_actor ON audit (actor, seq);
CREATE INDEX audit_object ON audit (res_id, seq);
CREATE INDEX audit_at ON audit (at);

-- +goose StatementBegin
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is not changed'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is not shortened'); END;
-- +goose StatementEnd
