-- +goose Up

-- settings: a JSON object, in which issuer is too. generation: an id on which tokens depend. keys_at: when the keys were
-- uploaded.
CREATE TABLE trusts (
    id         TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    name       TEXT COLLATE "C" NOT NULL UNIQUE,
    issuer     TEXT COLLATE "C" NOT NULL UNIQUE,
    settings   TEXT NOT NULL,
    generation TEXT NOT NULL,
    managed_by TEXT NOT NULL,
    version    BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    keys_at    BIGINT NOT NULL
) /* STRICT */;

CREATE UNIQUE INDEX trusts_by_folded_name ON trusts (LOWER(name));

-- trust: the trust whose tokens have the claims that are the material, or nothing. managed_by: the call map file that
-- owns the credential, or nothing. withheld: the issuer of the trust when the credential was revoked by hand, or nothing.
ALTER TABLE credentials ADD COLUMN trust TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN managed_by TEXT NOT NULL DEFAULT '';
ALTER TABLE credentials ADD COLUMN withheld TEXT NOT NULL DEFAULT '';

CREATE INDEX credentials_by_trust ON credentials (trust, id) WHERE trust <> '';
