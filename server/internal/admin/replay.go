package admin

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/directory"
	words "github.com/watchword-dev/watchword/server/internal/explain"
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

// PlanCallMap asks for a plan.
type PlanCallMap struct {
	CallMapFiles
	ReplayDays *int `json:"replayDays,omitempty" minimum:"0" maximum:"400" example:"30" doc:"How many days of recorded decisions are decided again on the call map as it would be: 30 if absent; 0: none."`
}

const defaultDays = 30

// UsageWindow is which records an answer was made from.
type UsageWindow struct {
	Days  int        `json:"days" example:"30" doc:"How many days, today included."`
	From  time.Time  `json:"from" example:"2026-10-26T00:00:00Z" doc:"The beginning of the first day, in UTC."`
	To    time.Time  `json:"to" example:"2026-11-24T12:00:00Z" doc:"The end: now. Other replicas may have some seconds more."`
	Since *time.Time `json:"since,omitempty" example:"2026-09-01T00:00:00Z" doc:"The first day of which there are records at all. Absent: there are none."`
}

// CallMapReplay is what recorded decisions say of a plan.
type CallMapReplay struct {
	UsageWindow
	Looked      int64           `json:"looked" example:"20000" doc:"Tokens given in that window for the rules and services that the plan changes."`
	Refused     int64           `json:"refused" example:"14112" doc:"How many of these would have been refused."`
	Edges       []words.Refused `json:"edges" nullable:"false" doc:"By caller and target, those with the most tokens first, at most 1,000."`
	Sentences   []string        `json:"sentences" nullable:"false" example:"[\"in the last 30 days 14,112 tokens for m7 -> billing would have been refused: no rule says m7 -> billing\"]" doc:"The same in words."`
	Unused      []UnusedRule    `json:"unused" nullable:"false" doc:"Rules of the files that are in force and were not used in that window, at most 1,000."`
	UnusedRules int             `json:"unusedRules" example:"1" doc:"How many there are."`
	Notes       []string        `json:"notes,omitempty" example:"[\"usage is counted by day, so that hours of rules could not be replayed: those calls count as within them\"]" doc:"What could not be replayed."`
}

// UnusedRule is a rule that nobody used.
type UnusedRule struct {
	Caller    string    `json:"caller" example:"m1" doc:"The caller."`
	Target    string    `json:"target" example:"m3" doc:"The target."`
	CreatedAt time.Time `json:"createdAt" example:"2026-01-01T00:00:00Z" doc:"Since when there is the rule."`
}

// replayTimeout is for reading the records of a replay: a plan without it is better than none.
const replayTimeout = 20 * time.Second

// window of so many days.
func (a *handlers) window(ctx context.Context, days int) (w UsageWindow, since, until usage.Day, err error) {
	if a.FlushUsage != nil {
		a.FlushUsage(ctx)
	}
	now := a.Now().UTC().Truncate(time.Microsecond)
	until = usage.DayOf(now)
	since = until - usage.Day(days) + 1
	w = UsageWindow{Days: days, From: since.Start(), To: now}
	first, ok, err := a.Usage.UsageSince(ctx)
	if ok {
		at := first.Start()
		w.Since = &at
	}
	return w, since, until, err
}

// replay decides again what was decided, on the directory as the plan would make it.
func (a *handlers) replay(ctx context.Context, plan *callmap.Plan, files []*callmap.File, after *directory.Snapshot, days int) (*CallMapReplay, error) {
	window, since, until, err := a.window(ctx, days)
	if err != nil {
		return nil, err
	}
	out := &CallMapReplay{UsageWindow: window, Edges: []words.Refused{}, Sentences: []string{}, Unused: []UnusedRule{}}
	limited, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	err = a.replayInto(limited, out, plan, after, since, until)
	if err == nil {
		err = a.unusedInto(limited, out, plan.Declared(files), since)
	}
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		out.Notes = append(out.Notes, "there are more records than could be read in "+replayTimeout.String()+", so that the numbers are too small; ask for fewer days")
		err = nil
	}
	return out, err
}

func (a *handlers) replayInto(ctx context.Context, out *CallMapReplay, plan *callmap.Plan, after *directory.Snapshot, since, until usage.Day) error {
	edges, services := plan.Touched()
	if len(edges)+len(services) == 0 {
		return nil
	}
	before := a.Directory.Snapshot()
	if before.Revision() != plan.Base {
		before = plan.Before(a.MaxTokenTTL)
	}
	r := words.NewReplay(before, after, edges, services, a.Now())
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
		out.Sentences = append(out.Sentences, out.Edges[i].Sentence(out.Days))
	}
	return err
}

func (a *handlers) unusedInto(ctx context.Context, out *CallMapReplay, declared iter.Seq[callmap.RuleChange], since usage.Day) error {
	used, err := a.Usage.UsedEdges(ctx, since)
	if err != nil {
		return err
	}
	for r := range declared {
		if _, ok := used[r.Old.Edge]; !ok {
			out.Unused = append(out.Unused, UnusedRule{r.Caller, r.Target, r.Old.CreatedAt.UTC()})
		}
	}
	slices.SortFunc(out.Unused, func(a, b UnusedRule) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target, b.Target))
	})
	out.UnusedRules = len(out.Unused)
	out.Unused = out.Unused[:min(len(out.Unused), maxChangesShown)]
	return nil
}
