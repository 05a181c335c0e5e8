-- +goose Up

-- audiences, auth_methods, grant_types: separated by one space, sorted.
ALTER TABLE services ADD COLUMN audiences TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN auth_methods TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN grant_types TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN binding TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN token_endpoint_audience BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE services ADD COLUMN multiple_targets BOOLEAN NOT NULL DEFAULT FALSE;

-- Keeps two services from sharing an audience; services.audiences is what is read.
CREATE TABLE audiences (
    uri     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    service TEXT COLLATE "C" NOT NULL REFERENCES services (uid) ON DELETE CASCADE
) /* STRICT */;

CREATE INDEX audiences_by_service ON audiences (service);

-- material: what a proof is held against. No secret can be read from it.
ALTER TABLE credentials ADD COLUMN material TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;

-- exchange: delegate, impersonate or nothing. may_act: uid of a service, or nothing.
ALTER TABLE rules ADD COLUMN exchange TEXT NOT NULL DEFAULT '';
ALTER TABLE rules ADD COLUMN may_act TEXT NOT NULL DEFAULT '';

-- id: jti of a token, or uid of a service that was deleted. status: the token's place in a status
-- list, list and index with a slash between, or nothing. Rows go when until_at is past.
CREATE TABLE revocations (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    revoked_at BIGINT NOT NULL,
    until_at   BIGINT NOT NULL,
    status     TEXT NOT NULL DEFAULT ''
) /* STRICT */;

CREATE INDEX revocations_by_end ON revocations (until_at);

-- What was used and must not be used again: see internal/once. Rows go when until_at is past.
-- This is the table of PostgreSQL, where replicas race for a key.
CREATE TABLE once (
    key      TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    until_at BIGINT NOT NULL
) /* STRICT, WITHOUT ROWID */;

CREATE INDEX once_by_end ON once (until_at);

-- The table of SQLite: a row for each transaction, in which a line for each key, "key until". The
-- one process that writes it has it in memory too.
CREATE TABLE once_batches (
    id       BIGINT NOT NULL PRIMARY KEY,
    entries  TEXT NOT NULL,
    until_at BIGINT NOT NULL
) /* STRICT */;

CREATE INDEX once_batches_by_end ON once_batches (until_at);

-- Keys that all replicas share and that sign no token. sealed: never readable without the sealing key.
CREATE TABLE secrets (
    name   TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    sealed BYTEA NOT NULL
) /* STRICT */;
