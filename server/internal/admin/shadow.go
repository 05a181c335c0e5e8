package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	words "github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

func (a *handlers) shadow() {
	example := api.CallMapShadow{Revision: 44, Rules: 2}
	register(a, operation{
		method: http.MethodPut, path: "/callmap/shadow", id: "putCallMapShadow", action: action{name: "callmap.shadow", large: true}, tag: "callmap",
		summary: "Set the shadow", description: "Makes the files the shadow call map: from now on the server makes each decision a second time, as if the files were applied. The decisions that are in force do not change. Different results are recorded as shadow in the audit log, and counted for the report. The shadow replaces an earlier one.",
		errors: []int{http.StatusConflict, http.StatusUnprocessableEntity}, request: exampleFiles, answer: example,
	}, a.putShadow)
	register(a, operation{
		method: http.MethodDelete, path: "/callmap/shadow", id: "deleteCallMapShadow", action: action{name: "callmap.shadow.end"}, tag: "callmap",
		summary: "End the shadow", description: "The server no longer makes decisions under the shadow. The counts remain.",
		errors: []int{http.StatusConflict}, answer: api.CallMapShadow{Revision: 45},
	}, a.deleteShadow)
	register(a, operation{
		method: http.MethodGet, path: "/callmap/shadow/report", id: "reportCallMapShadow", action: action{name: "callmap.shadow.report", slow: true}, tag: "callmap",
		summary:     "Report the differences of the shadow",
		description: "Returns, by caller and target, the decisions of a period that would have been different under the shadow, or if services that only observe had refused calls without a rule. Differences under an earlier shadow in the period are included.",
		answer:      api.ShadowReport{UsageWindow: exampleWindow, Rules: 2, Edges: []api.Otherwise{{Caller: "m7", Target: "billing", By: "shadow", Outcome: "refused", Tokens: 14112, Reason: string(policy.NoRule), Last: exampleTime}}},
	}, a.reportShadow)
}

var exampleWindow = api.UsageWindow{Days: 30, From: usage.DayOf(exampleTime.AddDate(0, 0, -29)).Start(), To: exampleTime}

func (a *handlers) putShadow(ctx context.Context, in *struct{ Body api.CallMapFiles }) (*answered[api.CallMapShadow], error) {
	return onWhateverIsThere(true, func() (*answered[api.CallMapShadow], error) {
		plan, _, err := a.planned(ctx, in.Body.Files)
		if err != nil {
			return nil, err
		}
		rules, leftOut := plan.Overlay()
		note(ctx, "summary", plan.Summary())
		return a.setShadow(ctx, plan.Base, rules, leftOut, "callmap.shadow")
	})
}

func (a *handlers) deleteShadow(ctx context.Context, _ *struct{}) (*answered[api.CallMapShadow], error) {
	return onWhateverIsThere(true, func() (*answered[api.CallMapShadow], error) { return a.endShadow(ctx) })
}

func (a *handlers) endShadow(ctx context.Context) (*answered[api.CallMapShadow], error) {
	state, err := a.Lists.Shadow(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.Directory.CatchUp(ctx); err != nil {
		return nil, err
	}
	base := a.Directory.Snapshot().Revision()
	if len(state) == 0 {
		return &answered[api.CallMapShadow]{api.CallMapShadow{Revision: base}}, nil
	}
	return a.setShadow(ctx, base, nil, nil, "callmap.shadow.end")
}

func (a *handlers) setShadow(ctx context.Context, base int64, rules []directory.ShadowRule, leftOut []string, action string) (*answered[api.CallMapShadow], error) {
	if rules == nil {
		rules = []directory.ShadowRule{}
	}
	note(ctx, "shadow", fmt.Sprint(len(rules)))
	revision, err := a.Directory.Apply(ctx, author(ctx), directory.Batch{Base: base, Shadow: &rules}, action, "")
	if errors.Is(err, directory.ErrConflict) {
		return nil, errPlanned
	}
	if err != nil {
		return nil, err
	}
	return &answered[api.CallMapShadow]{api.CallMapShadow{Revision: revision, Rules: len(rules), LeftOut: leftOut}}, nil
}

func (a *handlers) reportShadow(ctx context.Context, in *struct {
	Days int `query:"days" minimum:"1" maximum:"400" default:"30" example:"30" doc:"The number of days, including today."`
},
) (*answered[api.ShadowReport], error) {
	window, since, until, err := a.window(ctx, in.Days)
	if err != nil {
		return nil, err
	}
	s := a.Directory.Snapshot()
	r := words.NewShadowReport(s)
	err = a.Usage.EachUsage(ctx, usage.Filter{Since: since, Until: until, Otherwise: true}, func(row usage.Row) error { r.Add(row); return nil })
	if err != nil {
		return nil, err
	}
	edges := r.Edges()
	view := api.ShadowReport{UsageWindow: window, Edges: edges[:min(len(edges), maxChangesShown)]}
	for range s.ShadowRules() {
		view.Rules++
	}
	return &answered[api.ShadowReport]{view}, nil
}
