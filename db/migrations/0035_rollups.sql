-- +goose Up

-- What is rolled up by the hour, with the labels that it had last. The numbers are ours: they keep the days small.
CREATE TABLE rollup_series (
    id     BIGINT NOT NULL PRIMARY KEY,
    metric TEXT   NOT NULL,
    of_id  TEXT   NOT NULL,
    part   TEXT   NOT NULL,
    labels TEXT   NOT NULL
);
CREATE UNIQUE INDEX rollup_series_of ON rollup_series (metric, of_id, part);

-- A day of hours of one series, packed: least, mean, most, 95th percentile and count. Days are counted from 1970.
CREATE TABLE rollups (
    series BIGINT NOT NULL,
    day    BIGINT NOT NULL,
    hours  TEXT   NOT NULL,
    PRIMARY KEY (series, day)
);
CREATE INDEX rollups_day ON rollups (day);
