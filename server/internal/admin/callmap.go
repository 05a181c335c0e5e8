package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/web"
)

const maxChangesShown = 1000

var (
	exampleFiles   = api.CallMapFiles{Files: []api.CallMapFile{{Name: "callmap.yaml", Text: "rules:\n  - {from: m1, to: m2, scopes: [read]}\n"}}}
	exampleApplied = api.AppliedCallMap{
		Revision: 43, At: exampleTime, Author: "anna@example.com", Reason: "m1 reads orders now", ManagedBy: callmap.DefaultOwner,
		Summary: "services: 0 added, 0 changed, 0 removed; rules: 1 added, 0 changed, 0 removed",
	}
	errTests   = problem("tests_failed")
	errPlanned = problem("plan_outdated")
	errRemoves = problem("removal_unconfirmed")
)

func (a *handlers) callMap() {
	register(a, operation{
		method: http.MethodPost, path: "/callmap/plan", id: "planCallMap", action: action{name: "callmap.plan", large: true, reads: true}, tag: "callmap",
		summary: "Plan call map files", description: "Returns what would change if the files were applied, the results of their tests, and the tokens of the last days that would have been refused. It changes nothing. A mistake in a file is answered with 422 and its position.",
		errors: []int{http.StatusUnprocessableEntity}, request: api.PlanCallMap{CallMapFiles: exampleFiles},
		answer: api.CallMapPlan{Base: 42, Summary: exampleApplied.Summary, Changes: []api.PlannedChange{{Op: "add", Kind: "rule", What: "m1 -> m2", Text: "scopes: [read]"}}, Tests: []api.CallMapTest{}},
	}, a.planCallMap)
	register(a, operation{
		method: http.MethodPost, path: "/callmap/apply", id: "applyCallMap", action: action{name: "callmap.apply", large: true, creates: true, changes: changesEither}, tag: "callmap",
		summary: "Apply call map files", description: "Runs the tests of the files as if the files were applied, and then makes all changes in one revision, unless something else was changed after the revision base. The changes are in force on this server when it answers.",
		errors: []int{http.StatusConflict, http.StatusUnprocessableEntity}, request: api.ApplyCallMap{CallMapFiles: exampleFiles, Base: 42, Reason: exampleApplied.Reason, Author: exampleApplied.Author}, answer: exampleApplied,
	}, a.applyCallMap)
	a.callMapHistory()
	a.shadow()
}

// planned reads the files, and the directory as it is stored, and plans.
func (a *handlers) planned(ctx context.Context, files []api.CallMapFile) (*callmap.Plan, []*callmap.File, error) {
	parsed, err := callmap.ParseAll(files)
	if problems, ok := callmap.AsProblems(err); ok {
		return nil, nil, mistaken(problems)
	}
	state, err := a.Lists.Load(ctx)
	if err != nil {
		return nil, nil, err
	}
	plan, err := callmap.Make(parsed, state, a.Now())
	if err == nil {
		err = plan.Check(a.Directory)
	}
	if problems, ok := callmap.AsProblems(err); ok {
		return nil, nil, mistaken(problems)
	}
	return plan, parsed, err
}

var errMistakes = problem("invalid_callmap")

func mistaken(problems callmap.Problems) *web.Error {
	p := errMistakes
	for _, m := range problems {
		p = p.At(m.File, m.Error())
	}
	return p
}

func (a *handlers) planCallMap(ctx context.Context, in *struct{ Body api.PlanCallMap }) (*answered[api.CallMapPlan], error) {
	plan, files, err := a.planned(ctx, in.Body.Files)
	if err != nil {
		return nil, err
	}
	now, after := a.Now(), plan.After(a.MaxTokenTTL)
	view := api.CallMapPlan{
		Base: plan.Base, Empty: plan.Empty(), Summary: plan.Summary(), Removed: plan.Removed, RemovesMany: plan.RemovesMany, Changes: append([]api.PlannedChange{}, plan.Changes(maxChangesShown)...),
		Ended: plan.Ended(now), Withheld: plan.Withheld, Tests: append([]api.CallMapTest{}, plan.Test(a.Issuer.On(after), now)...),
	}
	for _, r := range view.Tests {
		if !r.Passed() {
			view.Failed++
		}
	}
	days := defaultDays
	if in.Body.ReplayDays != nil {
		days = *in.Body.ReplayDays
	}
	if days > 0 {
		if view.Replay, err = a.replay(ctx, plan, files, after, days); err != nil {
			return nil, err
		}
	}
	return &answered[api.CallMapPlan]{view}, nil
}

func (a *handlers) applyCallMap(ctx context.Context, in *struct{ Body api.ApplyCallMap }) (*answered[api.AppliedCallMap], error) {
	return a.applyFiles(ctx, in.Body, "callmap.apply")
}

// applyFiles makes the changes of the plan of files, and records them as action.
func (a *handlers) applyFiles(ctx context.Context, in api.ApplyCallMap, action string) (*answered[api.AppliedCallMap], error) {
	return onWhateverIsThere(in.Base == 0, func() (*answered[api.AppliedCallMap], error) { return a.applyOnce(ctx, in, action) })
}

// onWhateverIsThere plans and applies again when another change came between, for those who did not
// ask for a revision.
func onWhateverIsThere[T any](whatever bool, apply func() (*answered[T], error)) (*answered[T], error) {
	for tries := 1; ; tries++ {
		out, err := apply()
		if !whatever || tries == 3 || !errors.Is(err, errPlanned) {
			return out, err
		}
	}
}

func (a *handlers) applyOnce(ctx context.Context, in api.ApplyCallMap, action string) (*answered[api.AppliedCallMap], error) {
	plan, files, err := a.planned(ctx, in.Files)
	if err != nil {
		return nil, err
	}
	switch {
	case in.Base != 0 && in.Base != plan.Base:
		return nil, errPlanned
	case in.Remove == nil && plan.RemovesMany, in.Remove != nil && *in.Remove != plan.Removed:
		return nil, errRemoves.At("body.remove", fmt.Sprintf("the plan removes %d services, rules, trusts and identities", plan.Removed))
	}
	for _, r := range plan.Test(a.Issuer.On(plan.After(a.MaxTokenTTL)), a.Now()) {
		if !r.Passed() {
			return nil, errTests.At(r.File, r.String())
		}
	}
	return a.apply(ctx, plan, action, directory.Applied{
		Author: in.Author, Reason: in.Reason, ManagedBy: callmap.Owners(files), Document: callmap.Join(files),
	})
}

// apply makes the changes of a plan and records what was applied. A plan without changes changes
// nothing, and is answered with the revision it was planned on.
func (a *handlers) apply(ctx context.Context, plan *callmap.Plan, action string, applied directory.Applied) (*answered[api.AppliedCallMap], error) {
	by := author(ctx)
	applied.At, applied.Summary = a.Now().UTC().Truncate(time.Microsecond), plan.Summary()
	if applied.Author == "" {
		applied.Author = by.Actor
	}
	note(ctx, "summary", applied.Summary, "author", applied.Author, "reason", applied.Reason)
	applied.Revision = plan.Base
	if !plan.Empty() {
		batch := plan.Batch()
		if err := a.mayApply(ctx, &batch); err != nil {
			return nil, err
		}
		batch.Applied = &applied
		revision, err := a.Directory.Apply(ctx, by, batch, action, applied.Reason)
		if errors.Is(err, directory.ErrConflict) {
			return nil, errPlanned
		}
		if err != nil {
			return nil, err
		}
		applied.Revision = revision
	}
	return &answered[api.AppliedCallMap]{viewApplied(applied)}, nil
}

// mayApply returns the refusal if the one who asks may not make all the changes of b.
func (a *handlers) mayApply(ctx context.Context, b *directory.Batch) error {
	if len(b.PutTrusts)+len(b.DeleteTrusts)+len(b.PutCredentials)+len(b.RevokeCredentials)+len(b.AdoptCredentials) > 0 {
		if err := a.mayChange(ctx, changesTrusts); err != nil {
			return err
		}
	}
	if len(b.PutServices)+len(b.DeleteServices)+len(b.PutRules)+len(b.DeleteRules) > 0 || b.Shadow != nil {
		return a.mayChange(ctx, changesOthers)
	}
	return nil
}

func viewApplied(a directory.Applied) api.AppliedCallMap {
	return api.AppliedCallMap{
		Revision: a.Revision, At: a.At.UTC(), Author: a.Author, Reason: a.Reason, ManagedBy: a.ManagedBy, Summary: a.Summary,
	}
}
