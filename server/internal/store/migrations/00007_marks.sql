-- +goose Up

-- once_forgotten: microseconds; what was used once and ended then or before may have been forgotten, so it counts as
-- used. heartbeat: when a server last wrote here to find out whether it can.
INSERT INTO counters (name, value) VALUES ('once_forgotten', 0), ('heartbeat', 0);
