package web

import (
	"net/http"
	"time"
)

// MaxWaiting bounds the requests that may wait at once for something to change. One costs about
// 20 KiB of memory, most of it the connection's.
const MaxWaiting = 16384

// WaitingHandlerFunc answers a request, and may wait for long before it does if mayWait.
type WaitingHandlerFunc func(w http.ResponseWriter, r *http.Request, mayWait bool) error

// HandleWaiting makes a handler of h, whose requests do not count among those worked on, since they wait.
// Beyond MaxWaiting they are answered, but may not wait. The time they take is not measured: it is that of
// the wait.
func (s *Stack) HandleWaiting(route string, h WaitingHandlerFunc) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()
		w := &recorder{ResponseWriter: rw}
		header := w.Header()
		header[RequestIDHeader] = []string{requestID(r)}
		header["X-Content-Type-Options"] = nosniff
		mayWait := s.waiting.Add(1) <= MaxWaiting
		defer func() {
			s.waiting.Add(-1)
			if p := recover(); p != nil {
				s.panicked(w, route, p)
			}
			s.log(w, r, route, time.Since(start))
		}()
		if w.err = h(w, r, mayWait); w.err != nil {
			s.writeError(w, w.err)
		}
	})
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
