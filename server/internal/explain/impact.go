package explain

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/policy"
	"github.com/watchword-dev/watchword/server/internal/usage"
)

// Impact is who used something lately, and would break without it.
type Impact struct {
	What         string     `json:"what" example:"the rule m1 -> m2" doc:"What would be taken away."`
	Text         string     `json:"text" example:"m1 could not call m2 any more" doc:"What that means."`
	Since        time.Time  `json:"since" example:"2026-10-25T00:00:00Z" doc:"Where the window begins that was looked at."`
	RecordsSince *time.Time `json:"recordsSince,omitempty" example:"2026-05-01T00:00:00Z" doc:"The first day of which there are counts. Absent: there are none."`
	Count        int        `json:"count" example:"1" doc:"How many pairs of services."`
	Affected     []Affected `json:"affected" nullable:"false" doc:"The first 10,000, those that used it most first."`
}

// Affected is a pair of services that used it.
type Affected struct {
	Caller      string    `json:"caller" example:"m1" doc:"Who called."`
	Target      string    `json:"target,omitempty" example:"m2" doc:"Whom. Absent: nobody yet."`
	Tokens      int64     `json:"tokens" example:"14112" doc:"How many tokens it got."`
	Last        time.Time `json:"lastUsedAt,omitzero" example:"2026-11-24T12:00:00Z" doc:"When the last one."`
	Scopes      []string  `json:"scopes,omitempty" example:"[\"read\"]" doc:"What they had."`
	Methods     []string  `json:"methods,omitempty" example:"[\"private_key_jwt\"]" doc:"How the caller proved itself."`
	Credentials []string  `json:"credentials,omitempty" example:"[\"00112233445566778899aabbccddeeff\"]" doc:"With which credentials."`
	Networks    []string  `json:"networks,omitempty" example:"[\"10.1.2.0/24\"]" doc:"From where."`
}

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
func (c *Users) Impact(s *directory.Snapshot, what, text string) Impact {
	i := Impact{What: what, Text: text, Since: c.since, Affected: []Affected{}}
	for e, u := range c.edges {
		from, ok1 := s.ServiceByUID(e.Caller)
		to, ok2 := s.ServiceByUID(e.Target)
		if ok1 && ok2 {
			i.Affected = append(i.Affected, Affected{from.Name, to.Name, u.n, u.last.UTC(), u.scopes.list(), u.methods.list(), u.credentials.list(), u.networks.list()})
		}
	}
	slices.SortFunc(i.Affected, func(a, b Affected) int {
		return cmp.Or(-cmp.Compare(a.Tokens, b.Tokens), cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Target, b.Target))
	})
	if i.Count = len(i.Affected); i.Count > maxAffected {
		i.Affected = i.Affected[:maxAffected]
	}
	return i
}
