package api

import "time"

// Change is one committed change, as the API shows it.
type Change struct {
	Revision  int64             `json:"revision" example:"42" doc:"Counts the changes of the server's database."`
	At        time.Time         `json:"at" example:"2026-11-24T12:00:00Z" doc:"When it was made."`
	Actor     string            `json:"actor" example:"operator" doc:"Who made it: operator, or system for scheduled work."`
	RequestID string            `json:"requestId,omitempty" example:"9f86d081884c7d659a2feaa0" doc:"The request that made it, as in the audit log."`
	Action    string            `json:"action" example:"rule.allow" doc:"What was done."`
	Subject   string            `json:"subject" example:"rule/svc_00112233445566778899aabbccddeeff/svc_ffeeddccbbaa99887766554433221100" doc:"To what."`
	Detail    map[string]string `json:"detail,omitempty" example:"{\"caller\":\"m1\",\"target\":\"m2\"}" doc:"For people."`
}

// ChangeList is a part of the history.
type ChangeList struct {
	Changes []Change `json:"changes" nullable:"false" doc:"Oldest first. Fewer than limit: there are no more yet."`
}

// Info is what this server is.
type Info struct {
	Version     string   `json:"version" example:"v0.1.0" doc:"Of the program."`
	Commit      string   `json:"commit,omitempty" example:"9446837f0e1d2c3b4a5968778695a4b3c2d1e0f1" doc:"What the program was built from, with -dirty behind it when the files were changed. Missing when that is not known."`
	Issuer      string   `json:"issuer" example:"http://localhost:8000" doc:"The issuer URL."`
	PlainIssuer string   `json:"plainIssuer" example:"auth-server" doc:"The iss of tokens of POST /accesstoken."`
	Revision    int64    `json:"revision" example:"42" doc:"Of the last change in force here."`
	Database    string   `json:"database" example:"sqlite" doc:"Which one it uses."`
	Algorithms  []string `json:"algorithms" nullable:"false" example:"[\"ES256\"]" doc:"What a service's tokens may be signed with."`
	AuditEnd    AuditEnd `json:"auditEnd" doc:"The newest record of this server's audit log that is on disk. A log without it lost its end."`
}

// AuditEnd is a record of the audit log.
type AuditEnd struct {
	Record uint64 `json:"record" example:"1234" doc:"Its number."`
	Hash   string `json:"hash" example:"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" doc:"Its hash."`
}
