package web_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// Who waits takes no place of those who are worked on, and beyond the bound nobody waits.
func TestWaitingIsBoundedApart(t *testing.T) {
	stack := web.NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 1)
	var arrived, waiting sync.WaitGroup
	end := make(chan struct{})
	wait := stack.HandleWaiting("wait", func(_ http.ResponseWriter, _ *http.Request, mayWait bool) error {
		if mayWait {
			arrived.Done()
			<-end
			return nil
		}
		return &web.Error{Status: http.StatusTeapot, Code: "no"}
	})
	get := func(h http.Handler) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
		return w.Code
	}
	arrived.Add(web.MaxWaiting)
	for range web.MaxWaiting {
		waiting.Go(func() { get(wait) })
	}
	arrived.Wait()
	if got := get(wait); got != http.StatusTeapot {
		t.Errorf("one more: got %d", got)
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
	panics := stack.HandleWaiting("panics", func(http.ResponseWriter, *http.Request, bool) error { panic("x") })
	if got := get(panics); got != http.StatusInternalServerError {
		t.Errorf("a panic: got %d", got)
	}
}
