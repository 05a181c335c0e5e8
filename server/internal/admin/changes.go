package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

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

var algorithms = []string{string(jose.ES256), string(jose.RS256), string(jose.PS256), string(jose.EdDSA)}

func (a *handlers) changes() {
	register(a, operation{
		method: http.MethodGet, path: "/changes", id: "listChanges", action: action{name: "change.list", audited: true}, tag: "history",
		summary: "List changes", description: "What was changed, oldest first, after a revision. To follow the history, ask again after the last revision seen. Reading it is recorded in the audit log.",
		answer: ChangeList{Changes: []Change{{
			Revision: 42, At: exampleTime, Actor: operator, RequestID: "9f86d081884c7d659a2feaa0", Action: "rule.allow",
			Subject: "rule/svc_00112233445566778899aabbccddeeff/svc_ffeeddccbbaa99887766554433221100",
			Detail:  map[string]string{"caller": "m1", "target": "m2"},
		}}},
	}, a.listChanges)
	register(a, operation{
		method: http.MethodGet, path: "/info", id: "readInfo", action: action{name: "info.read"}, tag: "history",
		summary: "Read what this server is", description: "Its version, issuer, database, the revision in force, and where its audit log ends.",
		answer: Info{Version: "v0.1.0", Issuer: "http://localhost:8000", PlainIssuer: "auth-server", Revision: 42, Database: "sqlite", Algorithms: algorithms,
			AuditEnd: AuditEnd{Record: 1234, Hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		},
	}, a.readInfo)
}

func (a *handlers) listChanges(ctx context.Context, in *struct {
	After int64 `query:"after" minimum:"0" default:"0" example:"41" doc:"Only changes after this revision."`
	Limit int   `query:"limit" default:"100" minimum:"1" maximum:"1000" example:"100" doc:"How many to return at most."`
},
) (*answered[ChangeList], error) {
	rows, err := a.Lists.ChangesAfter(ctx, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &answered[ChangeList]{ChangeList{make([]Change, 0, len(rows))}}
	for _, c := range rows {
		out.Body.Changes = append(out.Body.Changes, Change{c.Revision, c.At.UTC(), c.Actor, c.RequestID, c.Action, c.Subject, c.Detail})
	}
	return out, nil
}

func (a *handlers) readInfo(context.Context, *struct{}) (*answered[Info], error) {
	info := a.Info()
	info.Algorithms = algorithms
	end := a.Audit.End()
	info.AuditEnd = AuditEnd{end.Seq, end.Hash}
	return &answered[Info]{info}, nil
}
