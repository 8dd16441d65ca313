-- +goose Up

-- Rows leave the log by its retention alone: those up to the anchor, which is written before they go.
DROP TRIGGER audit_stays;
-- +goose StatementBegin
CREATE TRIGGER audit_stays BEFORE DELETE ON audit
WHEN OLD.seq > coalesce((SELECT CAST(substr(value, 1, instr(value, ' ') - 1) AS BIGINT) FROM settings WHERE name = 'audit.anchor'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is not shortened'); END;
-- +goose StatementEnd
CREATE INDEX audit_job ON audit (job_id) WHERE job_id <> '';

-- Where the log is sent to, and how far it got.
CREATE TABLE audit_targets (
    target   TEXT   NOT NULL PRIMARY KEY,
    sent     BIGINT NOT NULL,
    sent_at  BIGINT NOT NULL,
    error    TEXT   NOT NULL,
    error_at BIGINT NOT NULL
);
