-- +goose Up

-- One text serves both engines. It is PostgreSQL; migrate.go says how SQLite reads it.
-- Times are microseconds since 1970 in UTC; 0 is "none". Names and ids compare by bytes.

-- revision: of the newest row of changes. keys: version of the key ring.
CREATE TABLE counters (
    name  TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) /* STRICT */;

INSERT INTO counters (name, value) VALUES ('revision', 0), ('keys', 0);

CREATE TABLE services (
    uid         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name        TEXT COLLATE "C" NOT NULL UNIQUE,
    description TEXT NOT NULL,
    disabled    BOOLEAN NOT NULL,
    token_ttl   BIGINT NOT NULL,
    algorithm   TEXT NOT NULL,
    version     BIGINT NOT NULL,
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL
) /* STRICT */;

CREATE TABLE credentials (
    id             TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    service        TEXT COLLATE "C" NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    kind           TEXT NOT NULL,
    name           TEXT NOT NULL,
    cidr           TEXT NOT NULL,
    created_at     BIGINT NOT NULL,
    expires_at     BIGINT NOT NULL,
    revoked_at     BIGINT NOT NULL,
    last_used_at   BIGINT NOT NULL,
    last_used_from TEXT NOT NULL,
    version        BIGINT NOT NULL
) /* STRICT */;

CREATE INDEX credentials_by_service ON credentials (service, id);

-- scopes: separated by one space, sorted.
CREATE TABLE rules (
    caller     TEXT COLLATE "C" NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    target     TEXT COLLATE "C" NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    scopes     TEXT NOT NULL,
    until_at   BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (caller, target)
) /* STRICT, WITHOUT ROWID */;

CREATE INDEX rules_by_target ON rules (target, caller);

-- detail: a JSON object of strings.
CREATE TABLE changes (
    revision   BIGINT NOT NULL PRIMARY KEY,
    at         BIGINT NOT NULL,
    actor      TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    detail     TEXT NOT NULL
) /* STRICT */;

-- public: a JWK. sealed: never readable without the sealing key.
CREATE TABLE keys (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    purpose    TEXT NOT NULL,
    algorithm  TEXT NOT NULL,
    state      TEXT NOT NULL,
    public     BYTEA NOT NULL,
    sealed     BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    signs_from BIGINT NOT NULL,
    retired_at BIGINT NOT NULL,
    drop_at    BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL
) /* STRICT */;

-- Two apps may have keys of the same id.
CREATE TABLE supertokens_keys (
    app        TEXT COLLATE "C" NOT NULL,
    id         TEXT COLLATE "C" NOT NULL,
    static     BOOLEAN NOT NULL,
    sealed     BYTEA NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (app, id)
) /* STRICT */;
