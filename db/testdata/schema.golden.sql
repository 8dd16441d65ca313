CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is not changed'); END;

CREATE TRIGGER audit_stays BEFORE DELETE ON audit
WHEN OLD.seq > coalesce((SELECT CAST(substr(value, 1, instr(value, ' ') - 1) AS BIGINT) FROM settings WHERE name = 'audit.anchor'), 0)
BEGIN SELECT RAISE(ABORT, 'the audit log is not shortened'); END;

CREATE TABLE affinity_rules (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
, tenant TEXT NOT NULL DEFAULT '');

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

CREATE TABLE audit_targets (
    target   TEXT   NOT NULL PRIMARY KEY,
    sent     BIGINT NOT NULL,
    sent_at  BIGINT NOT NULL,
    error    TEXT   NOT NULL,
    error_at BIGINT NOT NULL
);

CREATE TABLE base_disks (
    id         TEXT   NOT NULL PRIMARY KEY,
    host_id    TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    pool_id    TEXT   NOT NULL,
    pool       TEXT   NOT NULL,
    volume     TEXT   NOT NULL,
    path       TEXT   NOT NULL,
    format     TEXT   NOT NULL,
    of_vm      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

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

CREATE TABLE card_uses (
    vm_id   TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    live    BIGINT NOT NULL,
    n       BIGINT NOT NULL,
    mac     TEXT   NOT NULL,
    network TEXT   NOT NULL,
    bridge  TEXT   NOT NULL,
    PRIMARY KEY (vm_id, live, n)
);

CREATE TABLE dashboards (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    owner_id   TEXT    NOT NULL,
    owner      TEXT    NOT NULL,
    shared     INTEGER NOT NULL,
    doc        TEXT    NOT NULL,
    created_at BIGINT  NOT NULL,
    updated_at BIGINT  NOT NULL,
    version    BIGINT  NOT NULL
);

CREATE TABLE desired (
    kind       TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    owner      TEXT   NOT NULL,
    last       TEXT   NOT NULL,
    object_id  TEXT   NOT NULL,
    ignored    TEXT   NOT NULL,
    applied_at BIGINT NOT NULL,
    applied_by TEXT   NOT NULL, tenant TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (kind, name)
);

CREATE TABLE devices (
    host_id TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    name    TEXT NOT NULL,
    kind    TEXT NOT NULL,
    label   TEXT NOT NULL,
    parent  TEXT NOT NULL,
    driver  TEXT NOT NULL, address TEXT NOT NULL DEFAULT '', model TEXT NOT NULL DEFAULT '', class TEXT NOT NULL DEFAULT '', assignable INTEGER NOT NULL DEFAULT 0, why TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (host_id, name)
);

CREATE TABLE disk_uses (
    vm_id     TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    live      BIGINT NOT NULL,
    target    TEXT   NOT NULL,
    host_id   TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    path      TEXT   NOT NULL,
    pool      TEXT   NOT NULL,
    volume    TEXT   NOT NULL,
    read_only BIGINT NOT NULL,
    PRIMARY KEY (vm_id, live, target)
);

CREATE TABLE encrypted_volumes (
    volume_id TEXT PRIMARY KEY,
    uuid      TEXT NOT NULL
);

CREATE TABLE escalated (
    alert_id      TEXT   NOT NULL,
    escalation_id TEXT   NOT NULL,
    step          BIGINT NOT NULL,
    receiver_id   TEXT   NOT NULL,
    at            BIGINT NOT NULL,
    why           TEXT   NOT NULL,
    PRIMARY KEY (alert_id, escalation_id, step, receiver_id)
);

CREATE TABLE escalations (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE events (
    seq      BIGINT NOT NULL PRIMARY KEY,
    at       BIGINT NOT NULL,
    kind     TEXT   NOT NULL,
    res_kind TEXT   NOT NULL,
    res_id   TEXT   NOT NULL,
    res_name TEXT   NOT NULL,
    host_id  TEXT   NOT NULL,
    job_id   TEXT   NOT NULL,
    actor    TEXT   NOT NULL,
    message  TEXT   NOT NULL
, tenant TEXT NOT NULL DEFAULT '');

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

CREATE TABLE filter_sets (
    filter   TEXT NOT NULL,
    group_id TEXT NOT NULL,
    PRIMARY KEY (filter, group_id)
);

CREATE TABLE folders (
    id         TEXT   NOT NULL PRIMARY KEY,
    tenant     TEXT   NOT NULL,
    parent     TEXT   NOT NULL,
    name       TEXT   NOT NULL,
    path       TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE gifts (
    id     TEXT NOT NULL,
    tenant TEXT NOT NULL,
    PRIMARY KEY (id, tenant)
);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES user_groups (id) ON DELETE CASCADE,
    user_id  TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);

CREATE TABLE guest_facts (
    vm_id       TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    facts       TEXT   NOT NULL,
    asked_at    BIGINT NOT NULL,
    answered_at BIGINT NOT NULL,
    problem     TEXT   NOT NULL,
    fix         TEXT   NOT NULL
);

CREATE TABLE guest_rules (
    vm_id TEXT NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    rules TEXT NOT NULL
);

CREATE TABLE guest_seeds (
    vm_id       TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    kind        TEXT   NOT NULL,
    pool        TEXT   NOT NULL,
    volume      TEXT   NOT NULL,
    instance_id TEXT   NOT NULL,
    sealed      TEXT   NOT NULL,
    next_id     TEXT   NOT NULL,
    next        TEXT   NOT NULL,
    updated_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);

CREATE TABLE host_credentials (
    host_id TEXT NOT NULL PRIMARY KEY REFERENCES hosts (id) ON DELETE CASCADE,
    creds   TEXT NOT NULL
);

CREATE TABLE host_filters (
    host_id TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    filter  TEXT NOT NULL,
    digest  TEXT NOT NULL,
    PRIMARY KEY (host_id, filter)
);

CREATE TABLE hosts (
    id             TEXT   NOT NULL PRIMARY KEY,
    name           TEXT   NOT NULL,
    name_key       TEXT   NOT NULL,
    uri            TEXT   NOT NULL,
    state          TEXT   NOT NULL,
    state_since    BIGINT NOT NULL,
    state_reason   TEXT   NOT NULL,
    state_fix      TEXT   NOT NULL,
    maintenance    BIGINT NOT NULL,
    labels         TEXT   NOT NULL,
    notes          TEXT   NOT NULL,
    facts          TEXT   NOT NULL,
    cpus           BIGINT NOT NULL,
    memory_bytes   BIGINT NOT NULL,
    storage_free   BIGINT NOT NULL,
    storage_total  BIGINT NOT NULL,
    inventory_hash TEXT   NOT NULL,
    last_seen      BIGINT NOT NULL,
    created_at     BIGINT NOT NULL,
    version        BIGINT NOT NULL
, accel TEXT NOT NULL DEFAULT 'auto', scrape_seconds BIGINT NOT NULL DEFAULT 0);

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

CREATE TABLE identities (
    id          TEXT   NOT NULL PRIMARY KEY,
    provider_id TEXT   NOT NULL REFERENCES providers (id) ON DELETE CASCADE,
    subject     TEXT   NOT NULL,
    user_id     TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    last_used   BIGINT NOT NULL
);

CREATE TABLE image_copies (
    id           TEXT   NOT NULL PRIMARY KEY,
    version_id   TEXT   NOT NULL REFERENCES image_versions (id),
    host_id      TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    pool_id      TEXT   NOT NULL,
    pool         TEXT   NOT NULL,
    volume       TEXT   NOT NULL,
    path         TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    bytes        BIGINT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);

CREATE TABLE image_holds (
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    version_id TEXT NOT NULL REFERENCES image_versions (id) ON DELETE CASCADE,
    PRIMARY KEY (job_id, version_id)
);

CREATE TABLE image_uses (
    vm_id      TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    disk       BIGINT NOT NULL,
    version_id TEXT   NOT NULL REFERENCES image_versions (id),
    linked     BIGINT NOT NULL,
    PRIMARY KEY (vm_id, disk)
);

CREATE TABLE image_versions (
    id            TEXT   NOT NULL PRIMARY KEY,
    image_id      TEXT   NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    label         TEXT   NOT NULL,
    state         TEXT   NOT NULL,
    format        TEXT   NOT NULL,
    virtual_bytes BIGINT NOT NULL,
    file_bytes    BIGINT NOT NULL,
    sha256        TEXT   NOT NULL,
    source        TEXT   NOT NULL,
    hints         TEXT   NOT NULL,
    changelog     TEXT   NOT NULL,
    job_id        TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    published_at  BIGINT NOT NULL,
    last_used_at  BIGINT NOT NULL
);

CREATE TABLE images (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    arch        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);

CREATE TABLE incidents (
    id         TEXT   NOT NULL PRIMARY KEY,
    title      TEXT   NOT NULL,
    tenant     TEXT   NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE invites (
    id         TEXT   NOT NULL PRIMARY KEY,
    user_id    TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT NOT NULL
);

CREATE TABLE job_log (
    job_id TEXT   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    line   BIGINT NOT NULL,
    at     BIGINT NOT NULL,
    step   TEXT   NOT NULL,
    text   TEXT   NOT NULL,
    PRIMARY KEY (job_id, line)
);

CREATE TABLE jobs (
    id               TEXT   NOT NULL PRIMARY KEY,
    kind             TEXT   NOT NULL,
    title            TEXT   NOT NULL,
    state            TEXT   NOT NULL,
    res_kind         TEXT   NOT NULL,
    res_id           TEXT   NOT NULL,
    res_name         TEXT   NOT NULL,
    locks            TEXT   NOT NULL,
    parent_id        TEXT   REFERENCES jobs (id) ON DELETE CASCADE,
    job_key          TEXT,
    input            TEXT   NOT NULL,
    data             TEXT   NOT NULL,
    result           TEXT   NOT NULL,
    steps            TEXT   NOT NULL,
    progress_percent DOUBLE PRECISION NOT NULL,
    progress_text    TEXT   NOT NULL,
    error            TEXT   NOT NULL,
    help             TEXT   NOT NULL,
    actor            TEXT   NOT NULL,
    cancel_ask       BIGINT NOT NULL,
    created_at       BIGINT NOT NULL,
    started_at       BIGINT NOT NULL,
    ended_at         BIGINT NOT NULL,
    attempts         BIGINT NOT NULL
, tenant TEXT NOT NULL DEFAULT '');

CREATE TABLE leases (
    host_id   TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    network   TEXT   NOT NULL,
    mac       TEXT   NOT NULL,
    ip        TEXT   NOT NULL,
    prefix    BIGINT NOT NULL,
    hostname  TEXT   NOT NULL,
    client_id TEXT   NOT NULL,
    expires   BIGINT NOT NULL,
    PRIMARY KEY (host_id, network, mac, ip)
);

CREATE TABLE locks (
    resource TEXT NOT NULL PRIMARY KEY,
    job_id   TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE migration_policies (
    scope  TEXT NOT NULL,
    id     TEXT NOT NULL,
    policy TEXT NOT NULL,
    PRIMARY KEY (scope, id)
);

CREATE TABLE migrations (
    job_id     TEXT   NOT NULL PRIMARY KEY,
    vm_id      TEXT   NOT NULL,
    vm_name    TEXT   NOT NULL,
    from_id    TEXT   NOT NULL,
    from_name  TEXT   NOT NULL,
    to_id      TEXT   NOT NULL,
    to_name    TEXT   NOT NULL,
    mode       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    started    BIGINT NOT NULL,
    ended      BIGINT NOT NULL,
    dirty_rate BIGINT NOT NULL,
    forecast   TEXT   NOT NULL,
    result     TEXT   NOT NULL
);

CREATE TABLE network_group_hosts (
    group_id TEXT NOT NULL REFERENCES network_groups (id) ON DELETE CASCADE,
    host_id  TEXT NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    network  TEXT NOT NULL,
    PRIMARY KEY (host_id, network)
);

CREATE TABLE network_groups (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    spec       TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE networks (
    host_id   TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    name      TEXT   NOT NULL,
    id        TEXT   NOT NULL,
    uuid      TEXT   NOT NULL,
    active    BIGINT NOT NULL,
    autostart BIGINT NOT NULL,
    mode      TEXT   NOT NULL,
    bridge    TEXT   NOT NULL,
    cidr      TEXT   NOT NULL, spec TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (host_id, name)
);

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

CREATE TABLE owners (
    id     TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL
);

CREATE TABLE plans (
    id         TEXT   NOT NULL PRIMARY KEY,
    title      TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    job_id     TEXT   NOT NULL,
    start_at   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE pools (
    host_id          TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    name             TEXT   NOT NULL,
    id               TEXT   NOT NULL,
    identity         TEXT   NOT NULL,
    uuid             TEXT   NOT NULL,
    type             TEXT   NOT NULL,
    active           BIGINT NOT NULL,
    autostart        BIGINT NOT NULL,
    target           TEXT   NOT NULL,
    capacity_bytes   BIGINT NOT NULL,
    allocation_bytes BIGINT NOT NULL,
    available_bytes  BIGINT NOT NULL, source TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (host_id, name)
);

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

CREATE TABLE public_networks (
    name      TEXT   NOT NULL PRIMARY KEY,
    marked_by TEXT   NOT NULL,
    marked_at BIGINT NOT NULL
);

CREATE TABLE quota_holds (
    job_id        TEXT   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    tenant        TEXT   NOT NULL,
    vms           BIGINT NOT NULL,
    vcpus         BIGINT NOT NULL,
    memory_bytes  BIGINT NOT NULL,
    storage_bytes BIGINT NOT NULL,
    snapshots     BIGINT NOT NULL, pools TEXT NOT NULL DEFAULT '', public_addresses BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (job_id, tenant)
);

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

CREATE TABLE recovery_codes (
    user_id TEXT   NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    hash    TEXT   NOT NULL,
    used_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

CREATE TABLE roles (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    notes       TEXT   NOT NULL,
    permissions TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE rollup_series (
    id     BIGINT NOT NULL PRIMARY KEY,
    metric TEXT   NOT NULL,
    of_id  TEXT   NOT NULL,
    part   TEXT   NOT NULL,
    labels TEXT   NOT NULL
);

CREATE TABLE rollups (
    series BIGINT NOT NULL,
    day    BIGINT NOT NULL,
    hours  TEXT   NOT NULL,
    PRIMARY KEY (series, day)
);

CREATE TABLE rotas (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE security_groups (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    rules       TEXT   NOT NULL,
    spoofing    BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE sessions (
    token_hash TEXT   NOT NULL PRIMARY KEY,
    data       TEXT   NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

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

CREATE TABLE silences (
    id         TEXT   NOT NULL PRIMARY KEY,
    starts_at  BIGINT NOT NULL,
    ends_at    BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE snapshot_notes (
    snapshot_id TEXT   NOT NULL PRIMARY KEY,
    vm_id       TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    notes       TEXT   NOT NULL,
    quiesced    BIGINT NOT NULL,
    schedule_id TEXT   NOT NULL,
    tier        TEXT   NOT NULL,
    made_by     TEXT   NOT NULL
, room_before BIGINT NOT NULL DEFAULT -1);

CREATE TABLE snapshot_schedules (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    enabled     BIGINT NOT NULL,
    plan        TEXT   NOT NULL,
    next_at     BIGINT NOT NULL,
    last_at     BIGINT NOT NULL,
    last_job    TEXT   NOT NULL,
    last_result TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
, tenant TEXT NOT NULL DEFAULT '');

CREATE TABLE snapshots (
    id          TEXT   NOT NULL PRIMARY KEY,
    vm_id       TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    memory      BIGINT NOT NULL,
    memory_file TEXT   NOT NULL,
    state       TEXT   NOT NULL,
    parent      TEXT   NOT NULL,
    is_current  BIGINT NOT NULL,
    disks       TEXT   NOT NULL
);

CREATE TABLE template_images (
    template_version_id TEXT NOT NULL REFERENCES template_versions (id) ON DELETE CASCADE,
    image_id            TEXT NOT NULL REFERENCES images (id),
    version_id          TEXT NOT NULL,
    PRIMARY KEY (template_version_id, image_id, version_id)
);

CREATE TABLE template_versions (
    id          TEXT   NOT NULL PRIMARY KEY,
    template_id TEXT   NOT NULL REFERENCES templates (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    deprecated  BIGINT NOT NULL,
    doc         TEXT   NOT NULL,
    changelog   TEXT   NOT NULL,
    created_by  TEXT   NOT NULL,
    created_at  BIGINT NOT NULL
);

CREATE TABLE templates (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);

CREATE TABLE tenants (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    parent     TEXT   NOT NULL,
    notes      TEXT   NOT NULL,
    quota      TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE tokens (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    prefix     TEXT   NOT NULL,
    hash       TEXT   NOT NULL,
    role       TEXT   NOT NULL,
    created_by TEXT   NOT NULL,
    created_at BIGINT NOT NULL,
    last_used  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
, tenant TEXT NOT NULL DEFAULT '', user_id TEXT NOT NULL DEFAULT '', permissions TEXT NOT NULL DEFAULT '[]');

CREATE TABLE uploads (
    job_id     TEXT PRIMARY KEY,
    volume_id  TEXT NOT NULL,
    total      INTEGER NOT NULL,
    received   INTEGER NOT NULL,
    hash       BLOB NOT NULL,
    sha256     TEXT NOT NULL DEFAULT '',
    updated_at INTEGER NOT NULL
);

CREATE TABLE user_groups (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    notes      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE users (
    id            TEXT   NOT NULL PRIMARY KEY,
    name          TEXT   NOT NULL,
    password_hash TEXT   NOT NULL,
    must_change   BIGINT NOT NULL,
    prefs         TEXT   NOT NULL,
    created_at    BIGINT NOT NULL,
    last_sign_in  BIGINT NOT NULL
, full_name TEXT NOT NULL DEFAULT '', email TEXT NOT NULL DEFAULT '', disabled BIGINT NOT NULL DEFAULT 0);

CREATE TABLE vm_chains (
    vm_id TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    depth BIGINT NOT NULL
);

CREATE TABLE vm_documents (
    vm_id  TEXT NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    config TEXT NOT NULL,
    live   TEXT NOT NULL,
    xml    TEXT NOT NULL
);

CREATE TABLE vm_templates (
    vm_id       TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    template_id TEXT   NOT NULL REFERENCES templates (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    vals        TEXT   NOT NULL,
    pinned      BIGINT NOT NULL
);

CREATE TABLE vms (
    id           TEXT   NOT NULL PRIMARY KEY,
    host_id      TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    uuid         TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    name_key     TEXT   NOT NULL,
    title        TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    reason       TEXT   NOT NULL,
    state_at     BIGINT NOT NULL,
    autostart    BIGINT NOT NULL,
    creating     BIGINT NOT NULL,
    persistent   BIGINT NOT NULL,
    vcpus        BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    macs         TEXT   NOT NULL,
    pending      BIGINT NOT NULL,
    tags         TEXT   NOT NULL,
    notes        TEXT   NOT NULL,
    search       TEXT   NOT NULL,
    created_at   BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    rev          BIGINT NOT NULL,
    hash         TEXT   NOT NULL,
    version      BIGINT NOT NULL
, addresses TEXT NOT NULL DEFAULT '', moving_to TEXT NOT NULL DEFAULT '', tenant TEXT NOT NULL DEFAULT '', folder TEXT NOT NULL DEFAULT '');

CREATE TABLE volume_checksums (
    volume_id TEXT PRIMARY KEY,
    sha256    TEXT NOT NULL,
    bytes     INTEGER NOT NULL,
    at        INTEGER NOT NULL
);

CREATE TABLE volume_secrets (
    uuid       TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    sealed     TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE volumes (
    host_id          TEXT   NOT NULL REFERENCES hosts (id) ON DELETE CASCADE,
    pool             TEXT   NOT NULL,
    name             TEXT   NOT NULL,
    id               TEXT   NOT NULL,
    pool_id          TEXT   NOT NULL,
    path             TEXT   NOT NULL,
    format           TEXT   NOT NULL,
    capacity_bytes   BIGINT NOT NULL,
    allocation_bytes BIGINT NOT NULL,
    backing          TEXT   NOT NULL,
    backing_format   TEXT   NOT NULL,
    encrypted        BIGINT NOT NULL,
    PRIMARY KEY (host_id, pool, name)
);

CREATE TABLE webhook_deliveries (
    id         TEXT   NOT NULL PRIMARY KEY,
    webhook_id TEXT   NOT NULL,
    seq        BIGINT NOT NULL,
    kind       TEXT   NOT NULL,
    state      TEXT   NOT NULL,
    attempts   BIGINT NOT NULL,
    status     BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    sent_at    BIGINT NOT NULL,
    error      TEXT   NOT NULL,
    event      TEXT   NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE webhooks (
    id         TEXT   NOT NULL PRIMARY KEY,
    name       TEXT   NOT NULL,
    disabled   BIGINT NOT NULL,
    doc        TEXT   NOT NULL,
    secret     TEXT   NOT NULL,
    cursor     BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE INDEX alert_rules_name ON alert_rules (name);

CREATE INDEX alerts_incident ON alerts (incident_id);

CREATE INDEX alerts_resolved ON alerts (resolved_at);

CREATE INDEX alerts_rule ON alerts (rule_id, state);

CREATE INDEX alerts_state ON alerts (state, id);

CREATE INDEX audit_actor ON audit (actor, seq);

CREATE INDEX audit_at ON audit (at);

CREATE INDEX audit_job ON audit (job_id) WHERE job_id <> '';

CREATE INDEX audit_object ON audit (res_id, seq);

CREATE UNIQUE INDEX base_disks_volume ON base_disks (pool_id, volume);

CREATE UNIQUE INDEX bindings_same ON bindings (subject_kind, subject_id, role, scope, scope_id, deny, condition);

CREATE INDEX card_uses_bridge ON card_uses (bridge) WHERE bridge <> '';

CREATE INDEX card_uses_network ON card_uses (network);

CREATE INDEX desired_owner ON desired (owner);

CREATE INDEX disk_uses_path ON disk_uses (host_id, path);

CREATE INDEX disk_uses_volume ON disk_uses (host_id, pool, volume);

CREATE INDEX events_at ON events (at);

CREATE INDEX events_host ON events (host_id, seq);

CREATE INDEX events_job ON events (job_id, seq);

CREATE INDEX events_resource ON events (res_id, seq);

CREATE INDEX events_tenant ON events (tenant, seq);

CREATE INDEX factors_user ON factors (user_id);

CREATE INDEX folders_parent ON folders (parent);

CREATE UNIQUE INDEX folders_path ON folders (tenant, lower(path));

CREATE INDEX gifts_tenant ON gifts (tenant);

CREATE INDEX group_members_user ON group_members (user_id);

CREATE UNIQUE INDEX hosts_name ON hosts (lower(name));

CREATE UNIQUE INDEX hosts_uri ON hosts (uri);

CREATE INDEX idempotency_age ON idempotency (created_at);

CREATE UNIQUE INDEX identities_subject ON identities (provider_id, subject);

CREATE INDEX identities_user ON identities (user_id);

CREATE INDEX image_copies_host ON image_copies (host_id);

CREATE UNIQUE INDEX image_copies_place ON image_copies (version_id, pool_id);

CREATE INDEX image_copies_volume ON image_copies (pool_id, volume);

CREATE INDEX image_holds_version ON image_holds (version_id);

CREATE INDEX image_uses_version ON image_uses (version_id);

CREATE UNIQUE INDEX image_versions_label ON image_versions (image_id, label);

CREATE INDEX image_versions_sha256 ON image_versions (sha256);

CREATE UNIQUE INDEX images_name ON images (name);

CREATE INDEX incidents_ended ON incidents (ended_at, id);

CREATE UNIQUE INDEX invites_hash ON invites (hash);

CREATE INDEX invites_user ON invites (user_id);

CREATE UNIQUE INDEX jobs_key ON jobs (actor, job_key);

CREATE INDEX jobs_parent ON jobs (parent_id, id);

CREATE INDEX jobs_resource ON jobs (res_id, id);

CREATE INDEX jobs_tenant ON jobs (tenant, id);

CREATE INDEX jobs_unended ON jobs (state, id) WHERE state IN ('queued', 'running', 'stuck');

CREATE INDEX locks_job ON locks (job_id);

CREATE INDEX migrations_path ON migrations (from_id, to_id, started);

CREATE INDEX migrations_started ON migrations (started, job_id);

CREATE INDEX migrations_vm ON migrations (vm_id, started);

CREATE INDEX network_group_hosts_group ON network_group_hosts (group_id);

CREATE UNIQUE INDEX networks_id ON networks (id);

CREATE INDEX notifications_age ON notifications (created_at);

CREATE INDEX notifications_due ON notifications (state, next_at);

CREATE INDEX notifications_group ON notifications (receiver_id, grp, id);

CREATE INDEX owners_tenant ON owners (tenant);

CREATE INDEX plans_state ON plans (state, id);

CREATE INDEX pools_id ON pools (id);

CREATE INDEX quota_holds_tenant ON quota_holds (tenant);

CREATE UNIQUE INDEX rollup_series_of ON rollup_series (metric, of_id, part);

CREATE INDEX rollups_day ON rollups (day);

CREATE UNIQUE INDEX security_groups_name ON security_groups (lower(name));

CREATE INDEX sessions_expires ON sessions (expires_at);

CREATE INDEX signins_expires ON signins (expires_at);

CREATE INDEX signins_user ON signins (user_id);

CREATE INDEX silences_ends ON silences (ends_at);

CREATE INDEX snapshot_notes_vm ON snapshot_notes (vm_id);

CREATE UNIQUE INDEX snapshot_schedules_name ON snapshot_schedules (tenant, lower(name));

CREATE INDEX snapshot_schedules_next ON snapshot_schedules (next_at);

CREATE UNIQUE INDEX snapshots_vm ON snapshots (vm_id, name);

CREATE INDEX template_images_image ON template_images (image_id);

CREATE UNIQUE INDEX template_versions_number ON template_versions (template_id, number);

CREATE UNIQUE INDEX templates_name ON templates (name);

CREATE UNIQUE INDEX tenants_name ON tenants (lower(name));

CREATE UNIQUE INDEX tokens_hash ON tokens (hash);

CREATE INDEX uploads_by_volume ON uploads (volume_id);

CREATE UNIQUE INDEX user_groups_name ON user_groups (lower(name));

CREATE UNIQUE INDEX users_name ON users (lower(name));

CREATE INDEX vm_templates_template ON vm_templates (template_id);

CREATE INDEX vms_created ON vms (created_at, id);

CREATE INDEX vms_folder ON vms (folder) WHERE folder <> '';

CREATE UNIQUE INDEX vms_host_uuid ON vms (host_id, uuid);

CREATE INDEX vms_name ON vms (lower(name));

CREATE INDEX vms_name_key ON vms (name_key, id);

CREATE INDEX vms_tenant ON vms (tenant, name_key, id);

CREATE INDEX volumes_backing ON volumes (host_id, backing);

CREATE INDEX volumes_id ON volumes (id);

CREATE INDEX volumes_name ON volumes (name, id);

CREATE INDEX volumes_path ON volumes (host_id, path);

CREATE INDEX volumes_pool ON volumes (pool_id, name);

CREATE INDEX webhook_deliveries_age ON webhook_deliveries (created_at);

CREATE INDEX webhook_deliveries_due ON webhook_deliveries (state, next_at);

CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook_id, id);
