package web_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// Who waits takes no place of those who are worked on, and beyond the bounds, of one network and of all, nobody waits.
func TestWaitingIsBoundedApart(t *testing.T) {
	stack := web.NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 1)
	var arrived, waiting sync.WaitGroup
	end := make(chan struct{})
	waited := http.CanonicalHeaderKey("waited")
	wait := stack.HandleWaiting("wait", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set(waited, "yes")
		arrived.Done()
		<-end
	}, func(w http.ResponseWriter, _ *http.Request) error {
		if w.Header().Get(waited) == "" {
			return &web.Error{Status: http.StatusTeapot, Code: "no"}
		}
		return nil
	})
	from := func(h http.Handler, address string) int {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = address + ":1"
		h.ServeHTTP(w, r)
		return w.Code
	}
	get := func(h http.Handler) int { return from(h, "192.0.2.1") }
	for n := range web.MaxWaiting / web.MaxWaitingFrom {
		one := fmt.Sprintf("192.0.2.%d", 100+n)
		arrived.Add(web.MaxWaitingFrom)
		for range web.MaxWaitingFrom {
			waiting.Go(func() { from(wait, one) })
		}
		arrived.Wait()
		if got := from(wait, one); got != http.StatusTeapot {
			t.Errorf("one more of a network: got %d", got)
		}
	}
	if got := get(wait); got != http.StatusTeapot {
		t.Errorf("one more in all: got %d", got)
	}
	work := stack.Handle("work", func(http.ResponseWriter, *http.Request) error { return nil })
	if got := get(work); got != http.StatusOK {
		t.Errorf("while others wait: got %d", got)
	}
	close(end)
	waiting.Wait()
	arrived.Add(1)
	if got := get(wait); got != http.StatusOK {
		t.Errorf("after they left: got %d", got)
	}
	panics := stack.HandleWaiting("panics", func(http.ResponseWriter, *http.Request) {}, func(http.ResponseWriter, *http.Request) error { panic("x") })
	if got := get(panics); got != http.StatusInternalServerError {
		t.Errorf("a panic: got %d", got)
	}
}
