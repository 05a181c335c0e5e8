-- +goose Up

-- steady: microseconds, what the clock said last by which is forgotten what was revoked. It is never far ahead of the
-- time, even when a machine's clock is. See internal/directory/steady.go.
INSERT INTO counters (name, value) VALUES ('steady', 0);
