package api

import "time"

// Change is one committed change.
type Change struct {
	Revision  int64             `json:"revision" example:"42" doc:"The revision that the change made."`
	At        time.Time         `json:"at" example:"2026-11-24T12:00:00Z" doc:"The time of the change."`
	Actor     string            `json:"actor" example:"operator" doc:"Who made the change: operator, or system for scheduled work."`
	RequestID string            `json:"requestId,omitempty" example:"9f86d081884c7d659a2feaa0" doc:"The id of the request that made the change, as in the audit log."`
	Action    string            `json:"action" example:"rule.allow" doc:"What was done."`
	Subject   string            `json:"subject" example:"rule/svc_00112233445566778899aabbccddeeff/svc_ffeeddccbbaa99887766554433221100" doc:"What was changed."`
	Detail    map[string]string `json:"detail,omitempty" example:"{\"caller\":\"m1\",\"target\":\"m2\"}" doc:"Details for people."`
}

// ChangeList is a part of the history.
type ChangeList struct {
	Changes []Change `json:"changes" nullable:"false" doc:"The changes, oldest first. If there are fewer than limit, there are no newer ones."`
}

// Info describes a server.
type Info struct {
	Version     string   `json:"version" example:"v0.1.0" doc:"The version of the program."`
	Commit      string   `json:"commit,omitempty" example:"9446837f0e1d2c3b4a5968778695a4b3c2d1e0f1" doc:"The commit from which the program was built, followed by -dirty if files were changed. Absent if it is not known."`
	Issuer      string   `json:"issuer" example:"http://localhost:8000" doc:"The issuer URL."`
	PlainIssuer string   `json:"plainIssuer" example:"auth-server" doc:"The iss of tokens from POST /accesstoken."`
	Revision    int64    `json:"revision" example:"42" doc:"The revision of the last change that is in force on this server."`
	Database    string   `json:"database" example:"sqlite" doc:"The kind of database."`
	Algorithms  []string `json:"algorithms" nullable:"false" example:"[\"ES256\"]" doc:"The algorithms with which tokens can be signed."`
	AuditEnd    AuditEnd `json:"auditEnd" doc:"The newest record of this server's audit log that is on disk. If a copy of the log does not contain it, records at its end are missing."`
}

// AuditEnd is a record of the audit log.
type AuditEnd struct {
	Record uint64 `json:"record" example:"1234" doc:"The number of the record."`
	Hash   string `json:"hash" example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" doc:"The hash of the record."`
}
