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
		summary: "Show what a stolen credential reaches", description: "Returns the services for which somebody with a credential of this service gets tokens, and those that are reached through them, because they may exchange the tokens that they receive. The request is recorded in the audit log.",
		missing: errNoService, answer: api.Blast{Service: "m1", Direct: 1, Through: 1, Reaches: []api.Reach{
			{Service: "m2", Scopes: []string{"read", "write"}}, {Service: "m3", Depth: 1, Exchange: string(policy.Delegate), Scopes: []string{"read"}},
		}},
	}, a.readBlast)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/graph", id: "readGraph", action: action{name: "callmap.graph", large: true}, tag: "callmap",
		summary: "Draw the call map", description: "Returns the call map as a graph, or the paths from a service, to a service, or both.",
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
	From string `query:"from" maxLength:"128" example:"m1" doc:"Return only what this service reaches, in any number of steps."`
	To   string `query:"to" maxLength:"128" example:"m2" doc:"Return only what reaches this service."`
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
