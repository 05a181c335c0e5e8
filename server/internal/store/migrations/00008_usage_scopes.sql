-- +goose Up

-- Lists of scopes that are too long for the key of usage, which has their id instead. last_day: of the newest row that
-- refers to the list.
CREATE TABLE usage_scopes (
    id       TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    scopes   TEXT NOT NULL,
    last_day BIGINT NOT NULL
) /* STRICT, WITHOUT ROWID */;
