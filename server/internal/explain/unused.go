package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

const maxIdle = 10_000

// Tally collects what was used in a window.
type Tally struct {
	st    *directory.State
	since time.Time
	rules map[policy.Edge]int32
	// used has for each rule the scopes that were, one bit each in the order of the rule's: there are
	// no more than 64. The rule itself is used when it is in hit.
	used     []uint64
	hit      []bool
	services map[directory.UID]bool
}

// NewTally is one of nothing yet, of a window that begins at since.
func NewTally(st *directory.State, since time.Time) *Tally {
	t := &Tally{
		st: st, since: since, rules: make(map[policy.Edge]int32, len(st.Rules)), used: make([]uint64, len(st.Rules)), hit: make([]bool, len(st.Rules)),
		services: map[directory.UID]bool{},
	}
	for i := range st.Rules {
		t.rules[st.Rules[i].Edge] = int32(i)
	}
	return t
}

// Add counts what a decision used: of one that was refused, or allowed by a target that only observes,
// no rule.
func (t *Tally) Add(r *usage.Row) {
	if r.Why != "" || r.Last.Before(t.since) {
		return
	}
	t.services[r.Caller], t.services[r.Target] = true, true
	i, ok := t.rules[r.Edge]
	if !ok || r.Would != "" {
		return
	}
	t.hit[i] = true
	for scope := range strings.FieldsSeq(r.Scopes) {
		if n, found := slices.BinarySearch(t.st.Rules[i].Scopes, scope); found {
			t.used[i] |= 1 << n
		}
	}
}

// Unused is what was not. Records is the first day of which there are counts, zero when there are none.
// s names services.
func (t *Tally) Unused(s *directory.Snapshot, records, now time.Time) api.Unused {
	u := api.Unused{Since: t.since, Complete: !records.IsZero() && !records.After(t.since), Items: []api.Idle{}}
	if !records.IsZero() {
		u.RecordsSince = &records
	}
	names := make(map[directory.UID]*directory.Service, len(t.st.Services))
	for i := range t.st.Services {
		names[t.st.Services[i].UID] = &t.st.Services[i]
	}
	// What credentials did is known from the start, whatever was counted.
	for i := range t.st.Credentials {
		if c := &t.st.Credentials[i]; !c.LastUsedAt.Before(t.since) {
			t.services[c.Service] = true
		}
	}
	all := slices.Concat(t.idleServices(&u), t.idleCredentials(&u, names, now), t.idleRules(&u, names, now))
	u.Count = len(all)
	for _, i := range all[:min(len(all), maxIdle)] {
		if u.Complete || i.Kind == "credential" {
			i.Command = i.command()
		}
		u.Items = append(u.Items, i.Idle)
	}
	return u
}

// idle is what was not used, and the command that removes it, which is made for those that are shown.
type idle struct {
	api.Idle
	command func() string
}

// judged reports whether something was there in all of the window, and counts it if not.
func (t *Tally) judged(u *api.Unused, made time.Time) bool {
	if made.After(t.since) {
		u.Young++
		return false
	}
	return true
}

// byOwner is the command for what is changed by hand, or the word about the file that owns it.
func byOwner(managedBy string, command func() string) func() string {
	if managedBy == "" {
		return command
	}
	return func() string { return fmt.Sprintf("change the call map file of %q, and apply it", managedBy) }
}

func (t *Tally) idleServices(u *api.Unused) (all []idle) {
	for i := range t.st.Services {
		if svc := &t.st.Services[i]; !t.services[svc.UID] && t.judged(u, svc.CreatedAt) {
			all = append(all, idle{api.Idle{Kind: "service", What: svc.Name}, byOwner(svc.ManagedBy, func() string { return shell.Command("watchword", "service", "delete", svc.Name) })})
		}
	}
	return sorted(all)
}

func (t *Tally) idleCredentials(u *api.Unused, names map[directory.UID]*directory.Service, now time.Time) (all []idle) {
	for i := range t.st.Credentials {
		c := &t.st.Credentials[i]
		svc := names[c.Service]
		if svc == nil || c.Good(now) != "" || !c.LastUsedAt.Before(t.since) || !t.judged(u, c.CreatedAt) {
			continue
		}
		it := idle{api.Idle{Kind: "credential", What: c.ID + " of " + svc.Name}, func() string { return shell.Command("watchword", "credential", "revoke", c.ID) }}
		if !c.LastUsedAt.IsZero() {
			last := c.LastUsedAt.UTC()
			it.Last = &last
		}
		all = append(all, it)
	}
	return sorted(all)
}

func (t *Tally) idleRules(u *api.Unused, names map[directory.UID]*directory.Service, now time.Time) (all []idle) {
	for i := range t.st.Rules {
		r := &t.st.Rules[i]
		from, to := names[r.Caller], names[r.Target]
		if from == nil || to == nil {
			continue
		}
		if !t.hit[i] {
			if t.judged(u, r.CreatedAt) {
				all = append(all, idle{
					api.Idle{Kind: "rule", What: from.Name + " -> " + to.Name},
					byOwner(r.ManagedBy, func() string { return shell.Command("watchword", "disallow", from.Name, to.Name) }),
				})
			}
			continue
		}
		if gone := t.scopes(i, 0); len(gone) > 0 && t.judged(u, r.UpdatedAt) {
			all = append(all, idle{
				api.Idle{Kind: "scope", What: from.Name + " -> " + to.Name + ": " + strings.Join(gone, " ")},
				byOwner(r.ManagedBy, func() string {
					c := r.Compiled()
					return allow(Asked{Caller: from.Name, Target: to.Name, At: now}, &c, t.scopes(i, 1), r.Exchange)
				}),
			})
		}
	}
	return sorted(all)
}

// scopes of a rule that were used (1) or not (0).
func (t *Tally) scopes(rule int, used uint64) (some []string) {
	for n, scope := range t.st.Rules[rule].Scopes {
		if t.used[rule]>>n&1 == used {
			some = append(some, scope)
		}
	}
	return some
}

func sorted(all []idle) []idle {
	slices.SortFunc(all, func(a, b idle) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.What, b.What)) })
	return all
}
