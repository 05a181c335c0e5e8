package web

import (
	"container/list"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Requests whose body is still on its way are not worked on, and do not count as such: a client that sends slowly, or
// not at all, would keep all others out (CWE-400). They are bounded apart, for each network and in all. Where there are
// as many as may be, the one that arrives for longest gives way to the newest: it is the slowest. Bodies of token
// requests are short. Few of those that are not may arrive at once, so that the memory they take is bounded, and short
// ones need not wait for them.
const (
	MaxArriving     = MaxWaiting
	MaxArrivingFrom = 1024 // one network
	shortBody       = 16 << 10
	MaxLong         = 256 // of more than shortBody bytes
)

var errShed = errors.New("turned away while the body arrived")

// arrivals are the bodies that are on their way.
type arrivals struct {
	most, mostFrom int

	mu   sync.Mutex
	over bool      // the server stops: none is waited for any more
	all  list.List // of *arriving, the oldest first
	from map[netip.Prefix]*list.List
}

// arriving is a body that is read from the client.
type arriving struct {
	io.ReadCloser
	*place
	rc   *http.ResponseController
	from netip.Prefix
	read int
	long bool

	telling  sync.Mutex
	answered bool // rc must not be used any more; guarded by telling

	// Guarded by arrivals.mu.
	inAll, inFrom *list.Element
	whole         bool // it was read to its end
	shed          bool // the request is to be turned away
}

// Stop turns away the requests whose body is on its way, and from now on all that have a body: a client that sends slowly
// does not keep the server from stopping. Requests whose body has arrived are answered.
func (s *Stack) Stop() {
	for _, b := range s.arrivals.stop() {
		b.giveWay()
	}
	for _, apart := range s.apart {
		apart.Stop()
	}
}

func (a *arrivals) stop() (turnedAway []*arriving) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	for e := a.all.Front(); e != nil; e = e.Next() {
		if b := e.Value.(*arriving); !b.whole {
			b.shed = true
			turnedAway = append(turnedAway, b)
		}
	}
	return turnedAway
}

// expect returns r with a body that is counted while it arrives. Nil: there is none. The request is another one, since
// net/http looks at the body of its own: whether the client waits to be told to send it (RFC 9110, section 10.1.1).
func (s *Stack) expect(w http.ResponseWriter, r *http.Request, p *place) (*http.Request, *arriving) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	b := &arriving{ReadCloser: r.Body, place: p, rc: http.NewResponseController(w), from: network(r)}
	counted := *r
	counted.Body = b
	if oldest := s.arrivals.add(b); oldest != nil {
		oldest.giveWay()
	}
	return &counted, b
}

// giveWay tells the reader of the body that the request is to be turned away; it answers. It may be answered meanwhile:
// net/http wants nothing to be done with an answer after that.
func (b *arriving) giveWay() {
	b.telling.Lock()
	defer b.telling.Unlock()
	if !b.answered {
		// A writer that knows no deadlines has no reader that is slow.
		_ = b.rc.SetReadDeadline(time.Unix(1, 0))
	}
}

// add counts b, and returns the body that gives way to it, if one has to.
func (a *arrivals) add(b *arriving) (oldest *arriving) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.from == nil {
		a.from = map[netip.Prefix]*list.List{}
	}
	own := a.from[b.from]
	if own == nil {
		own = list.New()
		a.from[b.from] = own
	}
	switch {
	case b.from.IsValid() && own.Len() >= a.mostFrom:
		oldest = own.Front().Value.(*arriving)
	case a.all.Len() >= a.most:
		oldest = a.all.Front().Value.(*arriving)
	}
	if oldest != nil {
		a.remove(oldest)
		oldest.shed = true
	}
	if a.from[b.from] == nil { // oldest was its last
		a.from[b.from] = own
	}
	b.inAll, b.inFrom = a.all.PushBack(b), own.PushBack(b)
	b.shed = a.over
	return oldest
}

func (a *arrivals) remove(b *arriving) {
	if b.inAll == nil {
		return
	}
	a.all.Remove(b.inAll)
	own := a.from[b.from]
	if own.Remove(b.inFrom); own.Len() == 0 {
		delete(a.from, b.from)
	}
	b.inAll, b.inFrom = nil, nil
}

// isShed reports whether the request is to be turned away, and notes that it is when turn is set.
func (b *arriving) isShed(turn bool) bool {
	b.stack.arrivals.mu.Lock()
	defer b.stack.arrivals.mu.Unlock()
	b.shed = b.shed || turn
	return b.shed
}

// Read counts the request among those that are worked on, but not while it waits for the client.
func (b *arriving) Read(p []byte) (int, error) {
	if b.isShed(b.read >= shortBody && !b.isLong()) {
		return 0, errShed
	}
	if !b.long { // in bounds, whatever size the reader has in mind
		p = p[:min(len(p), shortBody-b.read)]
	}
	b.leave()
	n, err := b.ReadCloser.Read(p)
	if b.arrived(err) { // and not counted: thousands may give way at once
		return 0, errShed
	}
	if !b.enter() || b.isShed(false) {
		b.isShed(true)
		return 0, errShed
	}
	b.read += n
	return n, err
}

// arrived notes whether b was read to its end. It reports whether the request is to be turned away.
func (b *arriving) arrived(err error) (shed bool) {
	a := &b.stack.arrivals
	a.mu.Lock()
	defer a.mu.Unlock()
	b.whole = b.whole || err == io.EOF //nolint:errorlint // a Reader returns io.EOF itself
	return b.shed
}

// isLong makes b one of the long ones, if there is place.
func (b *arriving) isLong() bool {
	if !b.long {
		b.long = b.stack.long.Add(1) <= b.stack.mostLong
		if !b.long {
			b.stack.long.Add(-1)
		}
	}
	return b.long
}

// end is called when the request was answered, or is about to be. It reports whether the request was turned away
// meanwhile.
func (b *arriving) end() (shed bool) {
	if b == nil {
		return false
	}
	a := &b.stack.arrivals
	a.mu.Lock()
	a.remove(b)
	shed = b.shed
	a.mu.Unlock()
	b.telling.Lock()
	b.answered = true
	b.telling.Unlock()
	if b.long {
		b.stack.long.Add(-1)
	}
	return shed
}

// An answer to a request whose body is too long is read by few clients before they have sent all of it, and is lost if
// the connection is closed under them. So up to drainLimit of the body is read after the answer, for drainTime.
const (
	drainLimit = 16 << 20
	drainTime  = 5 * time.Second
)

// TurnedAway reports whether the body of r gave way to others while it arrived.
func TurnedAway(r *http.Request) bool {
	b, ok := r.Body.(*arriving)
	return ok && b.isShed(false)
}

// drain reads what is left of the body after a refusal.
func (b *arriving) drain() {
	if b == nil || b.isShed(false) || b.rc.Flush() != nil || b.rc.SetReadDeadline(time.Now().Add(drainTime)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, b.ReadCloser, drainLimit)
}

func (a *arrivals) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all.Len()
}
