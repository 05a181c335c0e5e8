package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// AppliedList is a part of the history of the call map.
type AppliedList struct {
	Applied []AppliedCallMap `json:"applied" nullable:"false" doc:"The newest first. Fewer than limit: there are no older ones."`
}

// CallMapDocument is a call map file.
type CallMapDocument struct {
	Revision int64         `json:"revision" example:"43" doc:"The revision it was applied in, or that it was exported from."`
	Files    []CallMapFile `json:"files" nullable:"false" doc:"The files."`
}

// RollbackCallMap says why.
type RollbackCallMap struct {
	Reason string `json:"reason,omitempty" maxLength:"512" example:"orders broke" doc:"Why, for the history."`
	Author string `json:"author,omitempty" maxLength:"128" example:"anna@example.com" doc:"Who, for the history; the operator if nobody is named."`
}

type byRevision struct {
	Revision int64 `path:"revision" minimum:"1" example:"43" doc:"The revision of an apply."`
}

var errNoApplied = newProblem(http.StatusNotFound, "not_found", "No call map file was applied in that revision. List those that were with GET /admin/v1/callmap/history.")

func (a *handlers) callMapHistory() {
	register(a, operation{
		method: http.MethodGet, path: "/callmap/export", id: "exportCallMap", action: action{name: "callmap.export", audited: true}, tag: "callmap",
		summary: "Export the call map", description: "The services and rules of one owner as a file. Applied again it changes nothing. Reading it is recorded in the audit log.",
		answer: CallMapDocument{Revision: 43, Files: exampleFiles.Files},
	}, a.exportCallMap)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/history", id: "listCallMapHistory", action: action{name: "callmap.history"}, tag: "callmap",
		summary: "List what was applied", description: "The call map files that were applied, the newest first.",
		answer: AppliedList{Applied: []AppliedCallMap{exampleApplied}},
	}, a.listApplied)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/history/{revision}", id: "readCallMapHistory", action: action{name: "callmap.show"}, tag: "callmap",
		summary: "Read what was applied", description: "The files as they were applied in a revision.",
		missing: errNoApplied, answer: CallMapDocument{Revision: 43, Files: exampleFiles.Files},
	}, a.readApplied)
	register(a, operation{
		method: http.MethodPost, path: "/callmap/history/{revision}/rollback", id: "rollbackCallMap", action: action{name: "callmap.rollback"}, tag: "callmap",
		summary: "Go back to what was applied", description: "Applies the files of a revision again, as a change of its own: the history only grows. Their tests are run first.",
		missing: errNoApplied, errors: []int{http.StatusConflict, http.StatusUnprocessableEntity},
		request: RollbackCallMap{Reason: "orders broke"}, answer: exampleApplied,
	}, a.rollbackCallMap)
}

func (a *handlers) exportCallMap(ctx context.Context, in *struct {
	Owner string `query:"managedBy" maxLength:"63" example:"callmap" doc:"Whose part. Empty: what is made by hand."`
},
) (*answered[CallMapDocument], error) {
	state, err := a.Lists.Load(ctx)
	if err != nil {
		return nil, err
	}
	text := callmap.Export(state, in.Owner)
	return &answered[CallMapDocument]{CallMapDocument{state.Revision, []CallMapFile{{"callmap.yaml", string(text)}}}}, nil
}

func (a *handlers) listApplied(ctx context.Context, in *struct {
	Before int64 `query:"before" minimum:"0" default:"0" example:"43" doc:"Only revisions before this one. 0: all."`
	Limit  int   `query:"limit" default:"100" minimum:"1" maximum:"1000" example:"100" doc:"How many to return at most."`
},
) (*answered[AppliedList], error) {
	rows, err := a.Lists.ListApplied(ctx, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &answered[AppliedList]{AppliedList{make([]AppliedCallMap, 0, len(rows))}}
	for _, r := range rows {
		out.Body.Applied = append(out.Body.Applied, viewApplied(r))
	}
	return out, nil
}

func (a *handlers) readApplied(ctx context.Context, in *byRevision) (*answered[CallMapDocument], error) {
	applied, err := a.Lists.ReadApplied(ctx, in.Revision)
	if err != nil {
		return nil, err
	}
	return &answered[CallMapDocument]{CallMapDocument{applied.Revision, filesOf(applied.Document)}}, nil
}

func filesOf(document []byte) []CallMapFile {
	files := []CallMapFile{}
	for _, f := range callmap.Split(document) {
		files = append(files, CallMapFile{f.Name, f.Text})
	}
	return files
}

func (a *handlers) rollbackCallMap(ctx context.Context, in *struct {
	Revision int64 `path:"revision" minimum:"1" example:"43" doc:"The revision of an apply."` // huma does not see it when it is embedded
	Body     *RollbackCallMap
},
) (*answered[AppliedCallMap], error) {
	old, err := a.Lists.ReadApplied(ctx, in.Revision)
	if err != nil {
		return nil, err
	}
	said := RollbackCallMap{}
	if in.Body != nil {
		said = *in.Body
	}
	plan, files, err := a.planned(ctx, filesOf(old.Document))
	if err != nil {
		return nil, err
	}
	for _, r := range plan.Test(plan.After(a.MaxTokenTTL), a.Now()) {
		if !r.Passed() {
			return nil, errTests.At(r.File, r.String())
		}
	}
	if said.Reason == "" {
		said.Reason = fmt.Sprintf("back to revision %d", in.Revision)
	}
	return a.apply(ctx, plan, "callmap.rollback", directory.Applied{
		Author: said.Author, Reason: said.Reason, ManagedBy: callmap.Owners(files), Document: old.Document,
	})
}
