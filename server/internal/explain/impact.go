package explain

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

const maxAffected = 10_000

// Users collects who got tokens.
type Users struct {
	since time.Time
	keep  func(*usage.Row) bool
	edges map[policy.Edge]*users
}

type users struct {
	n                                      int64
	last                                   time.Time
	scopes, methods, credentials, networks set
}

type set map[string]struct{}

func (s *set) add(v string) {
	if v == "" {
		return
	}
	if *s == nil {
		*s = set{}
	}
	(*s)[v] = struct{}{}
}

func (s set) list() []string { return slices.Sorted(maps.Keys(s)) }

// NewUsers collects from since those that keep chooses; nil: all.
func NewUsers(since time.Time, keep func(*usage.Row) bool) *Users {
	return &Users{since, keep, map[policy.Edge]*users{}}
}

// Add counts a row, if tokens came of it.
func (c *Users) Add(r *usage.Row) {
	if r.Why != "" || r.Last.Before(c.since) || c.keep != nil && !c.keep(r) {
		return
	}
	u := c.edges[r.Edge]
	if u == nil {
		u = &users{}
		c.edges[r.Edge] = u
	}
	u.n += r.N
	if r.Last.After(u.last) {
		u.last = r.Last
	}
	for scope := range strings.FieldsSeq(r.Scopes) {
		u.scopes.add(scope)
	}
	u.methods.add(r.Method)
	u.credentials.add(r.Credential)
	if r.Network.IsValid() {
		u.networks.add(r.Network.String())
	}
}

// Impact is what was collected, in names. Services that are gone cannot break.
func (c *Users) Impact(s *directory.Snapshot, what, text string) api.Impact {
	i := api.Impact{What: what, Text: text, Since: c.since, Affected: []api.Affected{}}
	for e, u := range c.edges {
		from, ok1 := s.ServiceByUID(e.Caller)
		to, ok2 := s.ServiceByUID(e.Target)
		if ok1 && ok2 {
			i.Affected = append(i.Affected, api.Affected{
				Caller: from.Name, Target: to.Name, Tokens: u.n, Last: u.last.UTC(),
				Scopes: u.scopes.list(), Methods: u.methods.list(), Credentials: u.credentials.list(), Networks: u.networks.list(),
			})
		}
	}
	slices.SortFunc(i.Affected, func(a, b api.Affected) int {
		return cmp.Or(-cmp.Compare(a.Tokens, b.Tokens), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target, b.Target))
	})
	if i.Count = len(i.Affected); i.Count > maxAffected {
		i.Affected = i.Affected[:maxAffected]
	}
	return i
}
