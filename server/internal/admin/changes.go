package admin

import (
	"context"
	"net/http"

	"github.com/watchword-dev/watchword/api"
)

var algorithms = api.NamesOf(api.Algorithms())

func (a *handlers) changes() {
	register(a, operation{
		method: http.MethodGet, path: "/changes", id: "listChanges", action: action{name: "change.list", audited: true}, tag: "history",
		summary: "List changes", description: "Lists the changes after a revision, oldest first. To follow the history, repeat the request with the last revision of the answer. The request is recorded in the audit log.",
		answer: api.ChangeList{Changes: []api.Change{{
			Revision: 42, At: exampleTime, Actor: operator, RequestID: "9f86d081884c7d659a2feaa0", Action: "rule.allow",
			Subject: "rule/svc_00112233445566778899aabbccddeeff/svc_ffeeddccbbaa99887766554433221100",
			Detail:  map[string]string{"caller": "m1", "target": "m2"},
		}}},
	}, a.listChanges)
	register(a, operation{
		method: http.MethodGet, path: "/info", id: "readInfo", action: action{name: "info.read"}, tag: "history",
		summary: "Describe the server", description: "Returns the version, the issuers and the database of the server, the revision that is in force, and the end of the audit log.",
		answer: api.Info{
			Version: "v0.1.0", Commit: "9446837f0e1d2c3b4a5968778695a4b3c2d1e0f1", Issuer: "http://localhost:8000", PlainIssuer: "auth-server", Revision: 42, Database: "sqlite", Algorithms: algorithms,
			AuditEnd: api.AuditEnd{Record: 1234, Hash: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
		},
	}, a.readInfo)
}

func (a *handlers) listChanges(ctx context.Context, in *struct {
	After int64 `query:"after" minimum:"0" default:"0" example:"41" doc:"Return only changes after this revision."`
	Limit int   `query:"limit" default:"100" minimum:"1" maximum:"1000" example:"100" doc:"The maximum number of entries to return."`
},
) (*answered[api.ChangeList], error) {
	rows, err := a.Lists.ChangesAfter(ctx, in.After, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &answered[api.ChangeList]{api.ChangeList{Changes: make([]api.Change, 0, len(rows))}}
	for _, c := range rows {
		out.Body.Changes = append(out.Body.Changes, api.Change{
			Revision: c.Revision, At: c.At.UTC(), Actor: c.Actor, RequestID: c.RequestID, Action: c.Action, Subject: c.Subject, Detail: c.Detail,
		})
	}
	return out, nil
}

func (a *handlers) readInfo(context.Context, *struct{}) (*answered[api.Info], error) {
	info := a.Info()
	info.Algorithms = algorithms
	end := a.Audit.End()
	info.AuditEnd = api.AuditEnd{Record: end.Seq, Hash: end.Hash}
	return &answered[api.Info]{info}, nil
}
