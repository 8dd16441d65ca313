-- +goose Up

-- Who keeps which alerts quiet, and how long.
CREATE TABLE silences (
    id         TEXT   NOT NULL PRIMARY KEY,
    starts_at  BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);
CREATE INDEX silences_ends ON silences (ends_at);

-- Who is told of alerts. What opens the way to them is sealed.
CREATE TABLE receivers (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    kind       TEXT   NOT NULL,
    disabled   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    secret     TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

-- The log of messages: each is written before it is sent.
CREATE TABLE notifications (
    id          TEXT   NOT NULL PRIMARY KEY,
    receiver_id TEXT   NOT NULL,
    grp         TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    attempts    BIGINT NOT NULL,
    next_at     BIGINT NOT NULL,
    sent_at     BIGINT NOT NULL,
    error       TEXT   NOT NULL,
    doc         TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE INDEX notifications_group ON notifications (receiver_id, grp, id);
CREATE INDEX notifications_due ON notifications (state, next_at);
CREATE INDEX notifications_age ON notifications (created_at);

-- What belongs together of alerts.
CREATE TABLE incidents (
    id         TEXT   NOT NULL PRIMARY KEY,
    title      TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    version    BIGINT NOT NULL
);
CREATE INDEX incidents_ended ON incidents (ended_at, id);
CREATE INDEX alerts_incident ON alerts (incident_id);
