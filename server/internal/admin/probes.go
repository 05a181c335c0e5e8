package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Probes probes services.
type Probes interface {
	Probe(ctx context.Context, by directory.Author, service *directory.Service, other string) (api.ProbeResult, error)
}

var exampleProbe = api.ProbeResult{
	Service: "m2", URL: "https://m2.example.com/hello", At: exampleTime, Issuer: "auth-server", Outcome: api.ProbeAccepted,
	Checks: []api.ProbeCheck{
		{Name: "good", Must: api.ProbeAccepted, Outcome: api.ProbeAccepted, Status: http.StatusOK, Text: "m2 accepted a valid token"},
		{Name: "another_audience", Must: api.ProbeRefused, Outcome: api.ProbeAccepted, Status: http.StatusOK, Text: "m2 ACCEPTED a token for another service"},
	},
}

var errNoProbe = problem("no_probe_url")

func (a *handlers) probes() {
	register(a, operation{
		method: http.MethodPost, path: "/services/{name}/probe", id: "probeService", action: action{name: "service.probe", slow: true}, tag: "services",
		summary: "Probe a service", description: "Sends tokens that the service must refuse, and some that it must accept, to its probe URL, and returns the results. The subject of the tokens cannot be the name of a service. They have no scope, have the claim \"probe\", and expire after a minute at most. The request takes some seconds, and up to two minutes if the service does not answer.",
		missing: errNoService, errors: []int{http.StatusConflict}, request: api.NewProbe{}, answer: exampleProbe,
	}, a.probeService)
	register(a, operation{
		method: http.MethodGet, path: "/probes", id: "listProbes", action: action{name: "probe.list"}, tag: "services",
		summary: "List the results of probes", description: "Lists the result of the last probe of each service that was probed.",
		answer: api.ProbeList{Probes: []api.ProbeResult{exampleProbe}},
	}, a.listProbes)
}

func (a *handlers) probeService(ctx context.Context, in *struct {
	ByName
	Body *api.NewProbe
},
) (*answered[api.ProbeResult], error) {
	s, err := a.service(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if s.Probe == "" {
		return nil, errNoProbe
	}
	other := ""
	if in.Body != nil && in.Body.Other != "" {
		if other = in.Body.Other; other == s.Name {
			return nil, &directory.InvalidError{Field: "other", Problem: "must not be the service that is probed"}
		}
		if _, err := a.resolve(ctx, other); err != nil {
			return nil, &directory.InvalidError{Field: "other", Problem: "must be the name of a service"}
		}
		note(ctx, "other", other)
	}
	r, err := a.Probes.Probe(ctx, author(ctx), s, other)
	if err != nil {
		return nil, err
	}
	note(ctx, "outcome", r.Outcome)
	return &answered[api.ProbeResult]{r}, nil
}

func (a *handlers) listProbes(ctx context.Context, in *struct{ Page }) (*answered[api.ProbeList], error) {
	var unreadable error
	views, next, err := listing[directory.Probe, api.ProbeResult]{
		name: "probes",
		read: func(after []byte, limit int) ([]directory.Probe, error) {
			var uid directory.UID
			copy(uid[:], after)
			return a.Lists.ListProbes(ctx, uid, limit)
		},
		position: func(p directory.Probe) []byte { return p.Service[:] },
		view: func(_ *directory.Snapshot, p directory.Probe) (r api.ProbeResult, ok bool) {
			if err := json.Unmarshal(p.Result, &r); err != nil {
				unreadable = errInternal.Because(fmt.Errorf("result of the probe of %s: %w", directory.FormatUID(p.Service), err))
			}
			return r, true
		},
	}.page(ctx, a, in.Page)
	return &answered[api.ProbeList]{api.ProbeList{Probes: views, NextPageToken: next}}, cmp.Or(err, unreadable)
}
