package web

import (
	"context"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
)

// turns has the requests of one address take turns, so that one that sends thousands at once does not take all
// processors. The others wait; they hold nothing but their connection.
type turns struct {
	atOnce int

	mu   sync.Mutex
	from map[netip.Addr]*turn
}

type turn struct {
	taken    chan struct{}
	requests int // that hold it or wait for it; guarded by turns.mu
}

func newTurns() *turns {
	return &turns{atOnce: 2 * runtime.GOMAXPROCS(0), from: map[netip.Addr]*turn{}}
}

// take waits for the turn of a request from an address. ok is false when ctx ended before.
func (t *turns) take(ctx context.Context, from netip.Addr) (end func(), ok bool) {
	t.mu.Lock()
	own := t.from[from]
	if own == nil {
		own = &turn{taken: make(chan struct{}, t.atOnce)}
		t.from[from] = own
	}
	own.requests++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if own.requests--; own.requests == 0 {
			delete(t.from, from)
		}
	}
	select {
	case own.taken <- struct{}{}:
		return func() { <-own.taken; leave() }, true
	case <-ctx.Done():
		leave()
		return nil, false
	}
}

// HandleDocument is Handle for a document that anybody may fetch. The requests of one address take turns.
func (s *Stack) HandleDocument(route string, h HandlerFunc) http.Handler {
	handler := s.Handle(route, h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end, ok := s.documents.take(r.Context(), Address(r))
		if !ok {
			return // the client has left
		}
		defer end()
		handler.ServeHTTP(w, r)
	})
}
