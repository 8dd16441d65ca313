-- +goose Up

-- How often a host is measured, in seconds; 0: as all are.
ALTER TABLE hosts ADD COLUMN scrape_seconds BIGINT NOT NULL DEFAULT 0;
