package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// MaxWaiting bounds the requests that may wait at once for something to change. One costs about 20 KiB of memory,
	// most of it the connection's.
	MaxWaiting = 16384
	// MaxWaitingFrom is how many of them may come from one network.
	MaxWaitingFrom = MaxWaiting / 4
)

// waiting counts the requests that wait for something to change.
type waiting struct {
	mu   sync.Mutex
	all  int
	from map[netip.Prefix]int
}

// begin counts a request from a network, if it may wait.
func (w *waiting) begin(from netip.Prefix) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all >= MaxWaiting || from.IsValid() && w.from[from] >= MaxWaitingFrom {
		return false
	}
	if w.from == nil {
		w.from = map[netip.Prefix]int{}
	}
	w.all++
	w.from[from]++
	return true
}

func (w *waiting) end(from netip.Prefix) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all--
	if w.from[from]--; w.from[from] == 0 {
		delete(w.from, from)
	}
}

func (w *waiting) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all
}

// HandleWaiting makes a handler that answers with h, after wait has waited for what the request is about, if it may:
// beyond the bounds nobody waits. Requests that wait, and their answers, do not count among those worked on, since
// thousands may be answered at once. Only so many are answered at once for one network. The time they take is not
// measured: it is that of the wait.
func (s *Stack) HandleWaiting(route string, wait http.HandlerFunc, h HandlerFunc) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w := &recorder{ResponseWriter: rw}
		header := w.Header()
		header[RequestIDHeader] = []string{requestID(r)}
		header["X-Content-Type-Options"] = nosniff
		defer func() {
			if p := recover(); p != nil {
				s.panicked(w, route, p)
			}
			s.log(w, r, route, time.Since(start))
		}()
		if from := network(r); len(r.RequestURI) > MaxURLBytes {
			w.err = LongURL
		} else {
			w.err = s.inTurn(from, h, w, r, s.await(from, wait, w, r))
		}
		if w.err != nil {
			s.writeError(w, w.err)
		}
	})
}

// await reports whether the request might wait.
func (s *Stack) await(from netip.Prefix, wait http.HandlerFunc, w http.ResponseWriter, r *http.Request) bool {
	if !s.waiting.begin(from) {
		return false
	}
	defer s.waiting.end(from)
	wait(w, r)
	return true
}

// inTurn answers a request. One that might not wait comes again at once, so that its answer is a little late.
func (s *Stack) inTurn(from netip.Prefix, h HandlerFunc, w http.ResponseWriter, r *http.Request, waited bool) error {
	own := s.work.take(r.Context(), from)
	if own == nil {
		s.shed.Inc()
		return Overloaded
	}
	defer s.work.end(own)
	if !waited {
		delay(r)
	}
	return h(w, r)
}

// ExtendDeadlines lets a request take longer than the listener's limits say.
func ExtendDeadlines(w http.ResponseWriter, by time.Duration) error {
	c := http.NewResponseController(w)
	until := time.Now().Add(by)
	// When the time for reading is over, net/http takes the client to have left.
	if err := c.SetReadDeadline(until); err != nil {
		return err
	}
	return c.SetWriteDeadline(until)
}
