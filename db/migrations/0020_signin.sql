-- +goose Up

CREATE TABLE providers (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    config     TEXT   NOT NULL,
    secret     TEXT   NOT NULL,
    disabled   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE identities (
    id          TEXT   NOT NULL PRIMARY KEY,
    provider_id TEXT   NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    subject     TEXT   NOT NULL,
    user_id     TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    last_used   BIGINT NOT NULL
);
CREATE UNIQUE INDEX identities_subject ON identities (provider_id, subject);
CREATE INDEX identities_user ON identities (user_id);

CREATE TABLE invites (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX invites_hash ON invites (hash);
CREATE INDEX invites_user ON invites (user_id);
