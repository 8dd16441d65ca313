-- +goose Up

-- Who is on call, by the week.
CREATE TABLE rotas (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

-- Who is told of alerts step by step, until somebody looks after them.
CREATE TABLE escalations (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

-- The steps that alerts have reached. They are written with the messages that they cause.
CREATE TABLE escalated (
    alert_id      TEXT   NOT NULL,
    escalation_id TEXT   NOT NULL,
    step          BIGINT NOT NULL,
    receiver_id   TEXT   NOT NULL,
    at            BIGINT NOT NULL,
    why           TEXT   NOT NULL,
    PRIMARY KEY (alert_id, escalation_id, step, receiver_id)
);
