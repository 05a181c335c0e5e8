-- +goose Up

-- What came of the last probe of a service. begun_at: of the last one, which may still run, so that
-- replicas leave it to one of them. result: JSON, or nothing yet.
CREATE TABLE probes (
    service  TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES services (uid) ON DELETE CASCADE,
    begun_at BIGINT NOT NULL,
    result   TEXT NOT NULL
) /* STRICT, WITHOUT ROWID */;
