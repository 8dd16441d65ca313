-- +goose Up

-- What was asked for with an Idempotency-Key, written with the change itself, and what was answered. The answer is sealed: it may hold a secret.
CREATE TABLE idempotency (
    who        TEXT   NOT NULL,
    idem_key   TEXT   NOT NULL,
    asked      TEXT   NOT NULL,
    job_id     TEXT   NOT NULL,
    status     BIGINT NOT NULL,
    answer     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (who, idem_key)
);
CREATE INDEX idempotency_age ON idempotency (created_at);
