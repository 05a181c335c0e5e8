package web

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/server/internal/throttle"
)

// The requests of one network are worked on so many at once. More of them wait for their turn, so that one caller that
// sends thousands at once takes neither all places nor all processors. As many may wait as answers to followers are due
// when something is revoked.
const (
	// MaxQueuedFrom is how many requests of one network are worked on or wait for their turn, and MaxQueued in all.
	MaxQueuedFrom = MaxWaitingFrom
	MaxQueued     = MaxWaiting
	// Patience is how long a request waits for its turn before it is turned away.
	Patience = 5 * time.Second
)

// WorkedOnFrom is how many requests of one network are worked on at once: few, since those of others wait until the
// processors have done with them, but enough for one commit of the audit log to have many records.
func WorkedOnFrom() int { return max(16, 4*runtime.GOMAXPROCS(0)) }

// documentsAtOnce is how many documents are written to one network at once: enough for all processors.
func documentsAtOnce() int { return 2 * runtime.GOMAXPROCS(0) }

// turns has the requests of one network take turns.
type turns struct {
	atOnce         int // of one network
	mostFrom, most int // that have a turn or wait for one: of one network, and in all

	waiting atomic.Int64 // for a turn

	mu   sync.Mutex
	all  int
	from map[netip.Prefix]*turn
}

type turn struct {
	from     netip.Prefix
	taken    chan struct{}
	requests int // that have it or wait for it; guarded by turns.mu
}

func newTurns(atOnce int) *turns {
	return &turns{atOnce: atOnce, mostFrom: MaxQueuedFrom, most: MaxQueued, from: map[netip.Prefix]*turn{}}
}

// take waits for the turn of a request from a network, until ctx ends or its patience does. Nil: there is none, as too
// many wait or it waited too long. A request that shares its address with unknown others takes no turn of it: the zero
// network has no bound of its own.
func (t *turns) take(ctx context.Context, from netip.Prefix) *turn {
	own := t.register(from)
	if own == nil {
		return nil
	}
	if !from.IsValid() {
		return own
	}
	select {
	case own.taken <- struct{}{}:
		return own
	default:
	}
	t.waiting.Add(1)
	defer t.waiting.Add(-1)
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	select {
	case own.taken <- struct{}{}:
		return own
	case <-ctx.Done():
	case <-patience.C:
	}
	t.forget(own)
	return nil
}

func (t *turns) register(from netip.Prefix) *turn {
	t.mu.Lock()
	defer t.mu.Unlock()
	own := t.from[from]
	if t.all >= t.most || own != nil && from.IsValid() && own.requests >= t.mostFrom {
		return nil
	}
	if own == nil {
		own = &turn{from: from, taken: make(chan struct{}, t.atOnce)}
		t.from[from] = own
	}
	own.requests++
	t.all++
	return own
}

func (t *turns) forget(own *turn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all--
	if own.requests--; own.requests == 0 {
		delete(t.from, own.from)
	}
}

// end gives the turn to the next.
func (t *turns) end(own *turn) {
	if own.from.IsValid() {
		<-own.taken
	}
	t.forget(own)
}

// network is what the bounds of one caller are for: its address, or the network in which an IPv6 address is that one
// customer has. It is the zero value if the address is that of a proxy, which many callers share.
func network(r *http.Request) netip.Prefix {
	if viaProxy(r) {
		return netip.Prefix{}
	}
	return throttle.Network(Address(r))
}

// HandleDocument is Handle for a document that anybody may fetch. Fewer are worked on at once for one network, as an
// answer that nobody reads takes its time.
func (s *Stack) HandleDocument(route string, h HandlerFunc) http.Handler {
	handler := s.Handle(route, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own := s.documents.take(r.Context(), network(r))
		if own == nil {
			s.turnAway(w, r)
			return
		}
		defer s.documents.end(own)
		handler.ServeHTTP(w, r)
	})
}

// turnAway answers a request that nothing was done for.
func (s *Stack) turnAway(w http.ResponseWriter, r *http.Request) {
	w.Header()[RequestIDHeader] = []string{requestID(r)}
	s.shed.Inc()
	s.writeError(w, Overloaded)
}

// A refusal costs the server little, and whoever causes it even less: one caller could take all processors with requests
// that are refused. So a network that causes more than so many is answered late, while its request keeps its turn.
const (
	RefusalBurst  = 2000
	RefusalRefill = time.Millisecond
	// RefusalDelay is how late.
	RefusalDelay = 20 * time.Millisecond
	maxRefused   = 4096 // networks
)

// pace delays the refusal of r if its network causes many.
func (s *Stack) pace(r *http.Request) {
	from := network(r)
	if from.IsValid() && s.refusals.Charge(from, time.Now()) > 0 {
		delay(r)
	}
}

func delay(r *http.Request) {
	t := time.NewTimer(RefusalDelay)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.Context().Done():
	}
}

// refused reports whether the answer is, or is to be, that the request is wrong or not allowed.
func (w *recorder) refused() bool {
	status := w.status
	if e, ok := errors.AsType[*Error](w.err); ok && status == 0 {
		status = e.Status
	}
	return 400 <= status && status < 500
}

// place is a request's place among those that are worked on.
type place struct {
	stack *Stack
	r     *http.Request
	turn  *turn // nil: it has none
}

// enter waits for the turn of the request. It reports false if the request is to be turned away.
func (p *place) enter() bool {
	s := p.stack
	if p.turn = s.work.take(p.r.Context(), network(p.r)); p.turn == nil {
		return false
	}
	if s.inFlight.Add(1) > s.most {
		p.leave()
		return false
	}
	return true
}

func (p *place) leave() {
	if p.turn != nil {
		p.stack.inFlight.Add(-1)
		p.stack.work.end(p.turn)
		p.turn = nil
	}
}
