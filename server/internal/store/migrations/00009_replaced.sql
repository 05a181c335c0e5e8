-- +goose Up

-- life: microseconds for which the credential was created. replaces: the credential that this one replaces, and that ends
-- overlap microseconds after this one was first used; or nothing.
ALTER TABLE credentials ADD COLUMN life BIGINT NOT NULL DEFAULT 0;
ALTER TABLE credentials ADD COLUMN replaces TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN overlap BIGINT NOT NULL DEFAULT 0;

UPDATE credentials SET life = expires_at - CASE WHEN not_before > created_at THEN not_before ELSE created_at END;
