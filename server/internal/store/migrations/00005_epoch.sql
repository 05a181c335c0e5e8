-- +goose Up

-- epoch: raised each time a server starts, and when the database is found to have been put back to an earlier
-- state, so that verifiers take the deny-list of then for newer. token_life: microseconds, the longest that any
-- server on this database may have let a token live: for so long what was revoked is denied.
INSERT INTO counters (name, value) VALUES ('epoch', 0), ('token_life', 0);

-- owner: uid of the service that revoked its own token, or nothing when an operator did. Bounded for each owner.
ALTER TABLE revocations ADD COLUMN owner TEXT NOT NULL DEFAULT '';

CREATE INDEX revocations_by_owner ON revocations (owner);
