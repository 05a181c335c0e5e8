package admin

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	words "github.com/watchword-dev/watchword/server/internal/explain"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// Usage is the counts of decisions.
type Usage interface {
	// EachUsage calls each with the rows that f chooses.
	EachUsage(ctx context.Context, f usage.Filter, each func(usage.Row) error) error
	// UsedEdges are the edges that were allowed since, each with the last day.
	UsedEdges(ctx context.Context, since usage.Day) (map[policy.Edge]usage.Day, error)
	// UsageSince is the first day of which there is something.
	UsageSince(ctx context.Context) (first usage.Day, ok bool, err error)
}

const defaultDays = 30

// ReplayTimeout is for reading the records of a replay: a plan without it is better than none.
const ReplayTimeout = 20 * time.Second

// window of so many days.
func (a *handlers) window(ctx context.Context, days int) (w api.UsageWindow, since, until usage.Day, err error) {
	if a.FlushUsage != nil {
		a.FlushUsage(ctx)
	}
	now := a.Now().UTC().Truncate(time.Microsecond)
	until = usage.DayOf(now)
	since = until - usage.Day(days) + 1
	w = api.UsageWindow{Days: days, From: since.Start(), To: now}
	first, ok, err := a.Usage.UsageSince(ctx)
	if ok {
		at := first.Start()
		w.Since = &at
	}
	return w, since, until, err
}

// replay decides again what was decided, on the directory as the plan would make it.
func (a *handlers) replay(ctx context.Context, plan *callmap.Plan, files []*callmap.File, after *directory.Snapshot, days int) (*api.CallMapReplay, error) {
	window, since, until, err := a.window(ctx, days)
	if err != nil {
		return nil, err
	}
	out := &api.CallMapReplay{UsageWindow: window, Edges: []api.RefusedEdge{}, Sentences: []string{}, Unused: []api.UnusedRule{}}
	limited, cancel := context.WithTimeout(ctx, ReplayTimeout)
	defer cancel()
	err = a.replayInto(limited, out, plan, after, since, until)
	if err == nil {
		err = a.unusedInto(limited, out, plan.Declared(files), since)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		out.Notes = append(out.Notes, "there are more records than could be read in "+ReplayTimeout.String()+", so the numbers are too small; ask for fewer days")
		err = nil
	}
	if plan.Withdraws() {
		out.Notes = append(out.Notes, "usage does not record what a token of a platform said, so that changes of trusts and identities could not be replayed: callers count as proven")
	}
	return out, err
}

func (a *handlers) replayInto(ctx context.Context, out *api.CallMapReplay, plan *callmap.Plan, after *directory.Snapshot, since, until usage.Day) error {
	edges, services := plan.Touched()
	if len(edges)+len(services) == 0 {
		return nil
	}
	before := a.Directory.Snapshot()
	if before.Revision() != plan.Base {
		before = plan.Before(a.MaxTokenTTL)
	}
	r := words.NewReplay(before, after, a.admits(before, after), edges, services, a.Now())
	var err error
	for _, f := range r.Filters(since, until) {
		if err = a.Usage.EachUsage(ctx, f, func(row usage.Row) error { r.Add(f, row); return nil }); err != nil {
			break
		}
	}
	result := r.Result()
	out.Looked, out.Refused, out.Notes = result.Looked, result.Refused, result.Notes
	out.Edges = append(out.Edges, result.Edges[:min(len(result.Edges), maxChangesShown)]...)
	for i := range out.Edges {
		out.Sentences = append(out.Sentences, words.Sentence(out.Edges[i], out.Days))
	}
	return err
}

// admits asks the issuer what callers may use on these Snapshots. A row does not tell at which endpoint or by which grant
// a token was requested: of those that are possible, any one will do.
func (a *handlers) admits(snapshots ...*directory.Snapshot) words.Admits {
	on := map[*directory.Snapshot]*issuer.Rehearser{}
	for _, s := range snapshots {
		on[s] = a.Issuer.On(s)
	}
	return func(s *directory.Snapshot, caller *directory.Service, row usage.Row) (why string) {
		grants := []string{api.GrantClientCredentials, api.GrantJWTBearer}
		switch {
		case row.Exchange != policy.NoExchange:
			grants = []string{api.GrantTokenExchange}
		case row.Method == api.Bootstrap:
			grants = []string{""} // at POST /accesstoken
		}
		for _, grant := range grants {
			r := issuer.Rehearsal{Caller: caller.Name, Targets: []string{""}, Method: row.Method, Grant: grant, Key: row.Bound, Certificate: row.Bound}
			if again := on[s].Admits(r.AtEndpoint()); again == "" {
				return ""
			} else if why == "" {
				why = again
			}
		}
		return why
	}
}

func (a *handlers) unusedInto(ctx context.Context, out *api.CallMapReplay, declared iter.Seq[callmap.RuleChange], since usage.Day) error {
	used, err := a.Usage.UsedEdges(ctx, since)
	if err != nil {
		return err
	}
	for r := range declared {
		if _, ok := used[r.Old.Edge]; !ok {
			out.Unused = append(out.Unused, api.UnusedRule{Caller: r.Caller, Target: r.Target, CreatedAt: r.Old.CreatedAt.UTC()})
		}
	}
	slices.SortFunc(out.Unused, func(a, b api.UnusedRule) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target, b.Target))
	})
	out.UnusedRules = len(out.Unused)
	out.Unused = out.Unused[:min(len(out.Unused), maxChangesShown)]
	return nil
}
