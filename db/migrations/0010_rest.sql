-- +goose Up
-- accel: which accelerator "auto" takes on the host: auto (by what its CPU shows), kvm or tcg (set by a person).
ALTER TABLE hosts ADD COLUMN accel TEXT NOT NULL DEFAULT 'auto';
