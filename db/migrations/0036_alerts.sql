-- +goose Up

-- Rules of alerts: Prometheus' own, with whose series they see.
CREATE TABLE alert_rules (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    disabled   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    error      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);
CREATE INDEX alert_rules_name ON alert_rules (name);

-- Alerts: each series that a rule held for. What stands is restored from here when the server starts.
CREATE TABLE alerts (
    id          TEXT   NOT NULL PRIMARY KEY,
    rule_id     TEXT   NOT NULL,
    name        TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    severity    TEXT   NOT NULL,
    tenant      TEXT   NOT NULL,
    host_id     TEXT   NOT NULL,
    vm_id       TEXT   NOT NULL,
    incident_id TEXT   NOT NULL,
    value       DOUBLE PRECISION NOT NULL,
    active_at   BIGINT NOT NULL,
    fired_at    BIGINT NOT NULL,
    resolved_at BIGINT NOT NULL,
    doc         TEXT   NOT NULL,
    version     BIGINT NOT NULL
);
CREATE INDEX alerts_state ON alerts (state, id);
CREATE INDEX alerts_rule ON alerts (rule_id, state);
CREATE INDEX alerts_resolved ON alerts (resolved_at);
