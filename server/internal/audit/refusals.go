package audit

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/watchword-dev/watchword/server/internal/disk"
	"github.com/watchword-dev/watchword/server/internal/throttle"
)

// A client that sends requests without proof of an identity decides how many there are, so not each of
// them gets a record: else they would fill the disk, and without the log there are no tokens. What
// has no record of its own is counted, and the counts are recorded once a minute.
const (
	// Records that one network gets at once, and then one every so often.
	NetworkBurst  = 20
	NetworkRefill = 6 * time.Second
	// Records that all networks get together: with their fields of shortField bytes these are some
	// 300 MB a day at most, however many networks there are.
	OverallBurst  = 500
	OverallRefill = 200 * time.Millisecond
	// MaxNetworks are counted apart, the others together.
	MaxNetworks = 4096
	// MaxSummaries bounds the records of counts in a minute. Those of the most refusals are kept apart.
	MaxSummaries = 64
	SummaryEvery = time.Minute
	// shortField is how much of what the caller sent is kept, in bytes.
	shortField = 64
)

// refusals bounds the records of events whose caller proved nothing.
type refusals struct {
	space   func() bool // is there room on the disk for more than what must be recorded
	network *throttle.Counter[netip.Prefix]
	overall *throttle.Counter[struct{}]
	first   chan struct{} // something was counted, and nothing before

	mu         sync.Mutex
	unrecorded map[netip.Prefix]map[string]uint64 // by what happened; zero: all other networks
	total      uint64
}

func newRefusals(space func() bool) *refusals {
	return &refusals{
		space:      space,
		network:    throttle.New[netip.Prefix](NetworkBurst, NetworkRefill, MaxNetworks),
		overall:    throttle.New[struct{}](OverallBurst, OverallRefill, 1),
		first:      make(chan struct{}, 1),
		unrecorded: map[netip.Prefix]map[string]uint64{},
	}
}

// admit reports whether e gets a record of its own, and counts it if not.
func (r *refusals) admit(e *Event) bool {
	var network netip.Prefix
	if a, err := netip.ParseAddr(e.Address); err == nil {
		network = throttle.Network(a)
	}
	if r.space() && r.network.Charge(network, e.At) == 0 && r.overall.Charge(struct{}{}, e.At) == 0 {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unrecorded) == 0 {
		nudge(r.first)
	}
	counts, ok := r.unrecorded[network]
	if !ok && len(r.unrecorded) >= MaxNetworks {
		network = netip.Prefix{}
		counts = r.unrecorded[network]
	}
	if counts == nil {
		counts = map[string]uint64{}
		r.unrecorded[network] = counts
	}
	// Both are the server's own words, a score of them: no caller can make new ones.
	counts[strings.TrimSpace(e.Endpoint+" "+e.Reason)]++
	r.total++
	return false
}

// counted is how many events had no record of their own.
func (r *refusals) counted() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// summaries are the records of what was counted since the last call.
func (r *refusals) summaries() []Event {
	r.mu.Lock()
	unrecorded := r.unrecorded
	r.unrecorded = map[netip.Prefix]map[string]uint64{}
	r.mu.Unlock()
	sum := func(counts map[string]uint64) (n uint64) {
		for _, more := range counts {
			n += more
		}
		return n
	}
	networks := slices.SortedFunc(maps.Keys(unrecorded), func(a, b netip.Prefix) int {
		return cmp.Or(-cmp.Compare(sum(unrecorded[a]), sum(unrecorded[b])), a.Compare(b))
	})
	var events []Event
	others := map[string]uint64{}
	for _, network := range networks {
		if len(events) < MaxSummaries-1 && network.IsValid() {
			events = append(events, summary(network.String(), unrecorded[network]))
			continue
		}
		for what, n := range unrecorded[network] {
			others[what] += n
		}
	}
	if len(others) > 0 {
		events = append(events, summary("", others))
	}
	return events
}

// summary is the record of counts. Without a network they are those of several, or of none.
func summary(network string, counts map[string]uint64) Event {
	detail := make(map[string]string, len(counts))
	for what, n := range counts {
		detail[what] = strconv.FormatUint(n, 10)
	}
	return Event{Kind: KindLog, Action: "refusals.more", Address: network, Outcome: Refused, Detail: detail}
}

// shorten leaves of what the caller sent no more than helps to find out who it was: characters that
// a record would have to escape, at six bytes each, become '?'.
func (e *Event) shorten() {
	for _, s := range []*string{&e.Caller, &e.Target, &e.Scope, &e.Credential, &e.Grant, &e.OnBehalfOf, &e.Subject, &e.RequestID} {
		*s = short(*s)
	}
	e.Detail = maps.Clone(e.Detail)
	for name, value := range e.Detail {
		e.Detail[name] = short(value)
	}
}

func short(s string) string {
	if len(s) > shortField {
		s = strings.ToValidUTF8(s[:shortField-len(cutMark)], "") + cutMark
	}
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// The room on the disk that is left for what must be recorded: so much, or a part of a small disk.
const (
	Reserve      = 256 << 20
	reservedPart = 10
	lookEvery    = time.Second
)

// space is the room on the disk under dir. It is looked at once in a while.
type space struct {
	dir string
	now func() time.Time

	mu     sync.Mutex
	looked time.Time
	enough bool
}

func newSpace(dir string, now func() time.Time) *space { return &space{dir: dir, now: now} }

// ample reports whether there is more room than what is reserved, or none knows.
func (s *space) ample() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.looked.IsZero() || now.Sub(s.looked) >= lookEvery || now.Before(s.looked) {
		s.looked = now
		free, total, ok := disk.Space(s.dir)
		s.enough = !ok || free > min(Reserve, total/reservedPart)
	}
	return s.enough
}
