-- +goose Up

-- labels: name=value, separated by one space, sorted. managed_by: the call map file that owns it, or
-- nothing.
ALTER TABLE services ADD COLUMN owner TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN labels TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN managed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN observe BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE services ADD COLUMN probe TEXT NOT NULL DEFAULT '';
ALTER TABLE services ADD COLUMN default_target TEXT NOT NULL DEFAULT '';

-- conditions: a JSON object, or nothing.
ALTER TABLE rules ADD COLUMN conditions TEXT NOT NULL DEFAULT '';
ALTER TABLE rules ADD COLUMN managed_by TEXT NOT NULL DEFAULT '';

-- Rules that are not in force but are decided beside those that are. absent: there is to be none.
CREATE TABLE shadow_rules (
    caller     TEXT COLLATE "C" NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    target     TEXT COLLATE "C" NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    scopes     TEXT NOT NULL,
    exchange   TEXT NOT NULL,
    may_act    TEXT NOT NULL,
    conditions TEXT NOT NULL,
    until_at   BIGINT NOT NULL,
    absent     BOOLEAN NOT NULL,
    managed_by TEXT NOT NULL,
    PRIMARY KEY (caller, target)
) /* STRICT, WITHOUT ROWID */;

-- What a change of many things touched, as in changes.subject, so that replicas read just that.
CREATE TABLE change_subjects (
    revision BIGINT NOT NULL,
    subject  TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (revision, subject)
) /* STRICT, WITHOUT ROWID */;

-- Call map files as they were applied. document: gzip.
CREATE TABLE applied (
    revision   BIGINT NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    author     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    managed_by TEXT NOT NULL,
    summary    TEXT NOT NULL,
    document   BYTEA NOT NULL
) /* STRICT */;

-- Decisions, counted by day (days since 1970). credential: id of what the caller proved itself with.
-- network: /24 or /48 the caller asked from. why: nothing when allowed, else the reason. would: why an
-- observing target's call was not allowed. shadow: what the shadow would have said, when that is
-- something else. caller and target may be gone.
CREATE TABLE usage (
    day        BIGINT NOT NULL,
    caller     TEXT COLLATE "C" NOT NULL,
    target     TEXT COLLATE "C" NOT NULL,
    credential TEXT COLLATE "C" NOT NULL,
    scopes     TEXT COLLATE "C" NOT NULL,
    method     TEXT COLLATE "C" NOT NULL,
    bound      BOOLEAN NOT NULL,
    exchange   TEXT COLLATE "C" NOT NULL,
    actors     BIGINT NOT NULL,
    network    TEXT COLLATE "C" NOT NULL,
    why        TEXT COLLATE "C" NOT NULL,
    would      TEXT COLLATE "C" NOT NULL,
    shadow     TEXT COLLATE "C" NOT NULL,
    n          BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    PRIMARY KEY (day, caller, target, credential, scopes, method, bound, exchange, actors, network, why, would, shadow)
) /* STRICT, WITHOUT ROWID */;

CREATE INDEX usage_by_target ON usage (target, day);

-- The last day on which each edge was allowed: what usage says too, in as many rows as there are edges,
-- whatever the number of days.
CREATE TABLE usage_edges (
    caller   TEXT COLLATE "C" NOT NULL,
    target   TEXT COLLATE "C" NOT NULL,
    last_day BIGINT NOT NULL,
    PRIMARY KEY (caller, target)
) /* STRICT, WITHOUT ROWID */;
