-- +goose Up

CREATE TABLE images (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    arch        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);
CREATE UNIQUE INDEX images_name ON images (name);

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
CREATE UNIQUE INDEX image_versions_label ON image_versions (image_id, label);
CREATE INDEX image_versions_sha256 ON image_versions (sha256);

-- Where copies of an image's file are. A copy on shared storage is there once, whichever host wrote it.
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
CREATE UNIQUE INDEX image_copies_place ON image_copies (version_id, pool_id);
CREATE INDEX image_copies_volume ON image_copies (pool_id, volume);
CREATE INDEX image_copies_host ON image_copies (host_id);

-- Which VM began as which image.
CREATE TABLE image_uses (
    vm_id      TEXT   NOT NULL REFERENCES vms (id) ON DELETE CASCADE,
    disk       BIGINT NOT NULL,
    version_id TEXT   NOT NULL REFERENCES image_versions (id),
    linked     BIGINT NOT NULL,
    PRIMARY KEY (vm_id, disk)
);
CREATE INDEX image_uses_version ON image_uses (version_id);

-- Jobs that need a version until they end: its copies and its file stay meanwhile.
CREATE TABLE image_holds (
    job_id     TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    version_id TEXT NOT NULL REFERENCES image_versions (id) ON DELETE CASCADE,
    PRIMARY KEY (job_id, version_id)
);
CREATE INDEX image_holds_version ON image_holds (version_id);

-- Disks that were frozen for linked clones of their VM.
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
CREATE UNIQUE INDEX base_disks_volume ON base_disks (pool_id, volume);

CREATE TABLE templates (
    id          TEXT   NOT NULL PRIMARY KEY,
    name        TEXT   NOT NULL,
    description TEXT   NOT NULL,
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);
CREATE UNIQUE INDEX templates_name ON templates (name);

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
CREATE UNIQUE INDEX template_versions_number ON template_versions (template_id, number);

-- Which images a template's version names, so that they are not deleted under it.
CREATE TABLE template_images (
    template_version_id TEXT NOT NULL REFERENCES template_versions (id) ON DELETE CASCADE,
    image_id            TEXT NOT NULL REFERENCES images (id),
    version_id          TEXT NOT NULL,
    PRIMARY KEY (template_version_id, image_id, version_id)
);
CREATE INDEX template_images_image ON template_images (image_id);

CREATE TABLE vm_templates (
    vm_id       TEXT   NOT NULL PRIMARY KEY REFERENCES vms (id) ON DELETE CASCADE,
    template_id TEXT   NOT NULL REFERENCES templates (id) ON DELETE CASCADE,
    number      BIGINT NOT NULL,
    vals        TEXT   NOT NULL,
    pinned      BIGINT NOT NULL
);
CREATE INDEX vm_templates_template ON vm_templates (template_id);
