package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
)

type byRevision struct {
	Revision int64 `path:"revision" minimum:"1" example:"43" doc:"A revision in which files were applied."`
}

var errNoApplied = problem("revision_not_found")

func (a *handlers) callMapHistory() {
	register(a, operation{
		method: http.MethodGet, path: "/callmap/export", id: "exportCallMap", action: action{name: "callmap.export", audited: true, slow: true}, tag: "callmap",
		summary: "Export the call map", description: "Returns the trusts, services with their identities, and rules of one owner as a file. The file of callmap, the default owner, also contains what belongs to no file. Applying the file makes it their owner, and changes nothing else. The request is recorded in the audit log.",
		answer: api.CallMapDocument{Revision: 43, Files: exampleFiles.Files},
	}, a.exportCallMap)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/history", id: "listCallMapHistory", action: action{name: "callmap.history"}, tag: "callmap",
		summary: "List applied call maps", description: "Lists the call map files that were applied, newest first.",
		answer: api.AppliedList{Applied: []api.AppliedCallMap{exampleApplied}},
	}, a.listApplied)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/history/{revision}", id: "readCallMapHistory", action: action{name: "callmap.show"}, tag: "callmap",
		summary: "Read an applied call map", description: "Returns the files that were applied in a revision.",
		missing: errNoApplied, answer: api.CallMapDocument{Revision: 43, Files: exampleFiles.Files},
	}, a.readApplied)
	register(a, operation{
		method: http.MethodPost, path: "/callmap/history/{revision}/rollback", id: "rollbackCallMap", action: action{name: "callmap.rollback", creates: true, slow: true, changes: changesEither}, tag: "callmap",
		summary: "Apply an earlier call map again", description: "Applies the files of an earlier revision again, in a new revision. The tests of the files are run first.",
		missing: errNoApplied, errors: []int{http.StatusConflict, http.StatusUnprocessableEntity},
		request: api.RollbackCallMap{Reason: "orders broke"}, answer: exampleApplied,
	}, a.rollbackCallMap)
}

func (a *handlers) exportCallMap(ctx context.Context, in *struct {
	Owner string `query:"managedBy" maxLength:"63" example:"callmap" doc:"The owner. The default is callmap, whose file also contains what belongs to no file."`
},
) (*answered[api.CallMapDocument], error) {
	state, err := a.Lists.Load(ctx)
	if err != nil {
		return nil, err
	}
	text := callmap.Export(state, in.Owner)
	return &answered[api.CallMapDocument]{api.CallMapDocument{Revision: state.Revision, Files: []api.CallMapFile{{Name: "callmap.yaml", Text: string(text)}}}}, nil
}

func (a *handlers) listApplied(ctx context.Context, in *struct {
	Before int64 `query:"before" minimum:"0" default:"0" example:"43" doc:"Return only revisions before this one. 0 returns all."`
	Limit  int   `query:"limit" default:"100" minimum:"1" maximum:"1000" example:"100" doc:"The maximum number of entries to return."`
},
) (*answered[api.AppliedList], error) {
	rows, err := a.Lists.ListApplied(ctx, in.Before, in.Limit)
	if err != nil {
		return nil, err
	}
	out := &answered[api.AppliedList]{api.AppliedList{Applied: make([]api.AppliedCallMap, 0, len(rows))}}
	for _, r := range rows {
		out.Body.Applied = append(out.Body.Applied, viewApplied(r))
	}
	return out, nil
}

func (a *handlers) readApplied(ctx context.Context, in *byRevision) (*answered[api.CallMapDocument], error) {
	applied, err := a.Lists.ReadApplied(ctx, in.Revision)
	if err != nil {
		return nil, err
	}
	return &answered[api.CallMapDocument]{api.CallMapDocument{Revision: applied.Revision, Files: filesOf(applied.Document)}}, nil
}

// filesOf returns the files of a document that was applied, perhaps before files needed a version.
func filesOf(document []byte) []api.CallMapFile {
	files := []api.CallMapFile{}
	for _, f := range callmap.Split(document) {
		files = append(files, api.CallMapFile{Name: f.Name, Text: string(callmap.WithVersion([]byte(f.Text)))})
	}
	return files
}

func (a *handlers) rollbackCallMap(ctx context.Context, in *struct {
	Revision int64 `path:"revision" minimum:"1" example:"43" doc:"A revision in which files were applied."` // huma does not see it when it is embedded
	Body     *api.RollbackCallMap
},
) (*answered[api.AppliedCallMap], error) {
	old, err := a.Lists.ReadApplied(ctx, in.Revision)
	if err != nil {
		return nil, err
	}
	said := api.RollbackCallMap{}
	if in.Body != nil {
		said = *in.Body
	}
	if said.Reason == "" {
		said.Reason = fmt.Sprintf("back to revision %d", in.Revision)
	}
	return a.applyFiles(ctx, api.ApplyCallMap{
		CallMapFiles: api.CallMapFiles{Files: filesOf(old.Document)}, Base: said.Base, Remove: said.Remove, Reason: said.Reason, Author: said.Author,
	}, "callmap.rollback")
}
