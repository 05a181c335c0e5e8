-- Schema 2 with data of every kind, as the first release with OAuth wrote it. Never changed: newer
-- programs must bring it forward.
PRAGMA foreign_keys = OFF;
PRAGMA application_id = 1467245416;
BEGIN TRANSACTION;
CREATE TABLE watchword_schema (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
INSERT INTO watchword_schema VALUES(1,0,1,'2026-11-24 15:54:06');
INSERT INTO watchword_schema VALUES(2,1,1,'2026-11-24 15:54:06');
INSERT INTO watchword_schema VALUES(3,2,1,'2026-11-24 15:54:06');
CREATE TABLE counters (
    name  TEXT NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;
INSERT INTO counters VALUES('revision',11);
INSERT INTO counters VALUES('keys',1);
CREATE TABLE services (
    uid         TEXT NOT NULL PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL,
    disabled    INTEGER NOT NULL,
    token_ttl   INTEGER NOT NULL,
    algorithm   TEXT NOT NULL,
    version     INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
, audiences TEXT NOT NULL DEFAULT '', auth_methods TEXT NOT NULL DEFAULT '', grant_types TEXT NOT NULL DEFAULT '', binding TEXT NOT NULL DEFAULT '', token_endpoint_audience INTEGER NOT NULL DEFAULT FALSE, multiple_targets INTEGER NOT NULL DEFAULT FALSE) STRICT;
INSERT INTO services VALUES('svc_01000000000000000000000000000001','m1',replace('größer ''quoted''\n2nd line','\n',char(10)),0,600000000,'EdDSA',1,1795521600123456,1795521600123456,'https://m1.example/ urn:example:m1','private_key_jwt tls_client_auth','client_credentials','dpop',1,0);
INSERT INTO services VALUES('svc_02000000000000000000000000000002','m2','',1,0,'',1,1795521600123456,1795525200123456,'','','','required',0,1);
CREATE TABLE credentials (
    id             TEXT NOT NULL PRIMARY KEY,
    service        TEXT NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    kind           TEXT NOT NULL,
    name           TEXT NOT NULL,
    cidr           TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    revoked_at     INTEGER NOT NULL,
    last_used_at   INTEGER NOT NULL,
    last_used_from TEXT NOT NULL,
    version        INTEGER NOT NULL
, material TEXT NOT NULL DEFAULT '', not_before INTEGER NOT NULL DEFAULT 0) STRICT;
INSERT INTO credentials VALUES('0123456789abcdef0123456789abcdef','svc_01000000000000000000000000000001','bootstrap','laptop','192.0.2.0/24',1795521600123456,1795525200123456,0,1795521601123456,'192.0.2.7',1,'',0);
INSERT INTO credentials VALUES('fedcba9876543210fedcba9876543210','svc_02000000000000000000000000000002','bootstrap','laptop','',1795521600123456,4951195200123456,1795521600123456,0,'',1,'',0);
INSERT INTO credentials VALUES('1111111111111111ffffffffffffffff','svc_01000000000000000000000000000001','key','laptop','',1795521600123456,1795525200123456,0,0,'',1,'{"kty":"OKP","crv":"Ed25519"}',1795521660123456);
CREATE TABLE rules (
    caller     TEXT NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    target     TEXT NOT NULL REFERENCES services (uid) ON DELETE CASCADE,
    scopes     TEXT NOT NULL,
    until_at   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, exchange TEXT NOT NULL DEFAULT '', may_act TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (caller, target)
) STRICT, WITHOUT ROWID;
INSERT INTO rules VALUES('svc_01000000000000000000000000000001','svc_02000000000000000000000000000002','read write',1827057600123456,1,1795521600123456,1795521600123456,'delegate','svc_02000000000000000000000000000002');
INSERT INTO rules VALUES('svc_02000000000000000000000000000002','svc_02000000000000000000000000000002','',0,1,1795521600123456,1795521600123456,'impersonate','');
CREATE TABLE changes (
    revision   INTEGER NOT NULL PRIMARY KEY,
    at         INTEGER NOT NULL,
    actor      TEXT NOT NULL,
    request_id TEXT NOT NULL,
    action     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    detail     TEXT NOT NULL
) STRICT;
INSERT INTO changes VALUES(1,1795521600123456,'operator','r1','test','service/svc_01000000000000000000000000000001','{"why":"test"}');
INSERT INTO changes VALUES(2,1795521600123456,'operator','r1','test','service/svc_02000000000000000000000000000002','{"why":"test"}');
INSERT INTO changes VALUES(3,1795521600123456,'operator','r1','test','credential/0123456789abcdef0123456789abcdef','{"why":"test"}');
INSERT INTO changes VALUES(4,1795521600123456,'operator','r1','test','credential/fedcba9876543210fedcba9876543210','{"why":"test"}');
INSERT INTO changes VALUES(5,1795521600123456,'operator','r1','test','rule/svc_01000000000000000000000000000001/svc_02000000000000000000000000000002','{"why":"test"}');
INSERT INTO changes VALUES(6,1795521600123456,'operator','r1','test','rule/svc_02000000000000000000000000000002/svc_02000000000000000000000000000002','{"why":"test"}');
INSERT INTO changes VALUES(7,1795521600123456,'operator','r1','test','keys','{"why":"test"}');
INSERT INTO changes VALUES(8,1795521600123456,'operator','r1','test','supertokens','{"why":"test"}');
INSERT INTO changes VALUES(9,1795521600123456,'operator','r1','test','supertokens','{"why":"test"}');
INSERT INTO changes VALUES(10,1795521600123456,'operator','r1','test','credential/1111111111111111ffffffffffffffff','{"why":"test"}');
INSERT INTO changes VALUES(11,1795521600123456,'operator','r1','test','revocation/2222222222222222eeeeeeeeeeeeeeee','{"why":"test"}');
CREATE TABLE keys (
    id         TEXT NOT NULL PRIMARY KEY,
    purpose    TEXT NOT NULL,
    algorithm  TEXT NOT NULL,
    state      TEXT NOT NULL,
    public     BLOB NOT NULL,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    signs_from INTEGER NOT NULL,
    retired_at INTEGER NOT NULL,
    drop_at    INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL
) STRICT;
INSERT INTO keys VALUES('kid-active','access','ES256','active',X'7b226b7479223a224543227d',X'00ff2700',1795521600123456,1795525200123456,0,0,0);
INSERT INTO keys VALUES('kid-retired','access','ES256','retiring',X'7b226b7479223a224543227d',X'00ff2700',1795521600123456,1795525200123456,1795521600123456,1795525200123456,1795521660123456);
CREATE TABLE supertokens_keys (
    app        TEXT NOT NULL,
    id         TEXT NOT NULL,
    static     INTEGER NOT NULL,
    sealed     BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (app, id)
) STRICT;
INSERT INTO supertokens_keys VALUES('public','s-1',1,X'732d31',1795521600123000);
INSERT INTO supertokens_keys VALUES('m2m-auth','d-1',0,X'642d31',1795521600123000);
CREATE TABLE audiences (
    uri     TEXT NOT NULL PRIMARY KEY,
    service TEXT NOT NULL REFERENCES services (uid) ON DELETE CASCADE
) STRICT;
INSERT INTO audiences VALUES('https://m1.example/','svc_01000000000000000000000000000001');
INSERT INTO audiences VALUES('urn:example:m1','svc_01000000000000000000000000000001');
CREATE TABLE revocations (
    id         TEXT NOT NULL PRIMARY KEY,
    revoked_at INTEGER NOT NULL,
    until_at   INTEGER NOT NULL,
    status     TEXT NOT NULL DEFAULT ''
) STRICT;
INSERT INTO revocations VALUES('2222222222222222eeeeeeeeeeeeeeee',1795521600123456,1795525200123456,'list/7');
CREATE TABLE once (
    key      TEXT NOT NULL PRIMARY KEY,
    until_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE once_batches (
    id       INTEGER NOT NULL PRIMARY KEY,
    entries  TEXT NOT NULL,
    until_at INTEGER NOT NULL
) STRICT;
INSERT INTO once_batches VALUES(1,replace('39VhbsI5dCLi-2VCK-1knA 1795525200123456\n','\n',char(10)),1795525200123456);
INSERT INTO once_batches VALUES(2,replace('tyXeAsh1hRYZ08YfHO9S3g 1795525200123456\n','\n',char(10)),1795525200123456);
CREATE TABLE secrets (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
INSERT INTO secrets VALUES('oauth',X'00ff2700');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('watchword_schema',3);
CREATE INDEX credentials_by_service ON credentials (service, id);
CREATE INDEX rules_by_target ON rules (target, caller);
CREATE INDEX audiences_by_service ON audiences (service);
CREATE INDEX revocations_by_end ON revocations (until_at);
CREATE INDEX once_by_end ON once (until_at);
CREATE INDEX once_batches_by_end ON once_batches (until_at);
COMMIT;
