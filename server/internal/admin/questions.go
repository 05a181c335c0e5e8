package admin

import (
	"context"
	"net/http"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	words "github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// questions are answers about the call map as a whole, which take up to seconds when it is large.
func (a *handlers) questions() {
	register(a, operation{
		method: http.MethodGet, path: "/services/{name}/blast", id: "readBlast", action: action{name: "service.blast", audited: true, large: true}, tag: "callmap",
		summary: "What a stolen credential reaches", description: "The services for which whoever has a credential of this service gets tokens, and those that are reached through them, where they exchange the tokens they receive: scopes only shrink on the way, and no more services act in a row than the server allows. Asking is recorded in the audit log.",
		missing: errNoService, answer: api.Blast{Service: "m1", Direct: 1, Through: 1, Reaches: []api.Reach{
			{Service: "m2", Scopes: []string{"read", "write"}}, {Service: "m3", Depth: 1, Exchange: string(policy.Delegate), Scopes: []string{"read"}},
		}},
	}, a.readBlast)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/graph", id: "readGraph", action: action{name: "callmap.graph", large: true}, tag: "callmap",
		summary: "The call map as a graph", description: "All of it, or what lies on the ways that lead from one service, to another, or both.",
		missing: errNoService, answer: api.Graph{
			Services: []api.GraphNode{{Name: "m1"}, {Name: "m2"}}, Rules: []api.GraphArc{{From: "m1", To: "m2", Scopes: []string{"read"}}}, ServiceCount: 2, RuleCount: 1,
		},
	}, a.readGraph)
}

func (a *handlers) readBlast(ctx context.Context, in *ByName) (*answered[api.Blast], error) {
	svc, err := a.service(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	return &answered[api.Blast]{words.BlastOf(a.Directory.Snapshot(), svc, a.Now(), a.MaxActors)}, nil
}

func (a *handlers) readGraph(ctx context.Context, in *struct {
	From string `query:"from" maxLength:"128" example:"m1" doc:"Only what this service reaches over rules, in any number of steps."`
	To   string `query:"to" maxLength:"128" example:"m2" doc:"Only what reaches this service."`
},
) (*answered[api.Graph], error) {
	var ends [2]*directory.Service
	for i, name := range []string{in.From, in.To} {
		if name == "" {
			continue
		}
		var err error
		if ends[i], err = a.service(ctx, name); err != nil {
			return nil, err
		}
	}
	return &answered[api.Graph]{words.GraphOf(a.Directory.Snapshot(), ends[0], ends[1], a.Now())}, nil
}

// service is the service of that name, as the snapshot has it.
func (a *handlers) service(ctx context.Context, name string) (*directory.Service, error) {
	return found(ctx, a, name, func(s *directory.Service) (*directory.Service, error) { return s, nil })
}
