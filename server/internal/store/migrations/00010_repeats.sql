-- +goose Up

-- The requests of operators that had an Idempotency-Key, for a day. id, request: keyed hashes of the key, and of what was
-- requested. subject: of the change that the request made. answer: encrypted with a key that the Idempotency-Key is a
-- part of; empty until it is known.
CREATE TABLE repeats (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    actor    TEXT NOT NULL,
    request  TEXT NOT NULL,
    revision BIGINT NOT NULL,
    subject  TEXT NOT NULL,
    at       BIGINT NOT NULL,
    answer   BYTEA NOT NULL
) /* STRICT */;

CREATE INDEX repeats_by_time ON repeats (at);
