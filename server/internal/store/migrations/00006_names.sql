-- +goose Up

-- A new service must not have a name that differs from another's in case only.
CREATE INDEX services_by_folded_name ON services (LOWER(name));
