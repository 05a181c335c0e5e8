package web

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// serve answers one request by h.
func serve(h HandlerFunc, header ...string) (*httptest.ResponseRecorder, string, *Stack) {
	var log bytes.Buffer
	s := NewStack(slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry(), 1)
	r := httptest.NewRequest("POST", "/x", strings.NewReader("secret-in-body"))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.Handle("/x", h).ServeHTTP(w, r)
	return w, log.String(), s
}

func TestErrorsTellTheCallerOnlyWhatIsMeantForIt(t *testing.T) {
	for _, c := range []struct {
		name   string
		err    error
		status int
		code   string
		logged bool
	}{
		{"public", &Error{Status: 400, Code: "invalid_request", Description: "try again", Cause: errors.New("private")}, 400, "invalid_request", false},
		{"wrapped", errors.Join(errors.New("private"), &Error{Status: 401, Code: "invalid_token"}), 401, "invalid_token", false},
		{"all else", errors.New("private"), 500, "server_error", true},
		{"unavailable", Unavailable("no disk", errors.New("private")), 503, "temporarily_unavailable", true},
	} {
		w, log, _ := serve(func(http.ResponseWriter, *http.Request) error { return c.err })
		if w.Code != c.status || !strings.Contains(w.Body.String(), `"error":"`+c.code+`"`) || strings.Contains(w.Body.String(), "private") {
			t.Errorf("%s: got %d %s", c.name, w.Code, w.Body)
		}
		if got := strings.Contains(log, "private"); got != c.logged {
			t.Errorf("%s: logged %v, want %v: %s", c.name, got, c.logged, log)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", c.name, w.Header())
		}
	}
}

// AUD-011, for the web: answered, logged without what was sent, and the process goes on.
func TestPanicIsAnsweredAndCounted(t *testing.T) {
	w, log, s := serve(func(http.ResponseWriter, *http.Request) error { panic("boom") }, "Authorization", "Bearer secret-in-header")
	if w.Code != 500 || !strings.Contains(log, "boom") || strings.Contains(log, "secret-in") {
		t.Errorf("got %d, log %s", w.Code, log)
	}
	if n := testutil.CollectAndCount(s.seconds); n != 1 {
		t.Errorf("got %d series, want 1", n)
	}
	if got := s.inFlight.Load(); got != 0 {
		t.Errorf("%d requests are still counted as being worked on", got)
	}
}

// DOS-013: beyond the bound a request is turned away at once.
func TestTooManyAtOnceAreTurnedAway(t *testing.T) {
	s := NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 1)
	inside, leave := make(chan struct{}), make(chan struct{})
	h := s.Handle("/x", func(w http.ResponseWriter, _ *http.Request) error {
		inside <- struct{}{}
		<-leave
		WriteJSON(w, 200, nil)
		return nil
	})
	first := httptest.NewRecorder()
	done := make(chan struct{})
	go func() { h.ServeHTTP(first, httptest.NewRequest("GET", "/x", nil)); close(done) }()
	<-inside
	second := httptest.NewRecorder()
	h.ServeHTTP(second, httptest.NewRequest("GET", "/x", nil))
	if second.Code != 503 || second.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %v", second.Code, second.Header())
	}
	close(leave)
	<-done
	if first.Code != 200 {
		t.Errorf("the one inside: got %d", first.Code)
	}
}

// Who overloads one listener keeps nobody out of another, and both are measured in one place.
func TestStackApartHasBoundsOfItsOwn(t *testing.T) {
	s := NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 1)
	apart := s.Apart(func(w http.ResponseWriter, err error) { http.Error(w, "in its own words", 503) }, MaxLong)
	h := apart.Handle("/apart", func(w http.ResponseWriter, _ *http.Request) error { WriteJSON(w, 200, nil); return nil })
	s.inFlight.Store(1)
	ask := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/apart", strings.NewReader("x")))
		return w
	}
	if w := ask(); w.Code != 200 {
		t.Errorf("while the other one is overloaded: got %d", w.Code)
	}
	apart.inFlight.Store(1)
	if w := ask(); w.Code != 503 || w.Body.String() != "in its own words\n" {
		t.Errorf("while it is overloaded itself: got %d %s", w.Code, w.Body)
	}
	if n := testutil.CollectAndCount(s.seconds); n != 2 {
		t.Errorf("got %d series, want one for 200 and one for 503", n)
	}
	if got := testutil.ToFloat64(s.shed); got != 1 {
		t.Errorf("%v requests count as turned away, want 1", got)
	}
}

// A probe that hears "not ready" is no failure of the server, and no error in its log.
func TestOnlyErrorsAreLoggedAsErrors(t *testing.T) {
	if _, log, _ := serve(func(w http.ResponseWriter, _ *http.Request) error { WriteJSON(w, 503, nil); return nil }); log != "" {
		t.Errorf("got %s", log)
	}
}

func TestRequestIDIsTakenOverOnlyWhenHarmless(t *testing.T) {
	ok := func(w http.ResponseWriter, _ *http.Request) error { WriteJSON(w, 200, nil); return nil }
	for id, kept := range map[string]bool{"abc-1.2_3": true, "": false, "a b": false, "a\nb": false, strings.Repeat("a", 65): false, `a"b`: false} {
		w, _, _ := serve(ok, RequestIDHeader, id)
		got := RequestID(w)
		if got == "" || (got == id) != kept {
			t.Errorf("%q: got %q", id, got)
		}
	}
}

func TestAddressIsTheConnections(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "[::ffff:10.1.2.3]:5"
	r.Header.Set("X-Forwarded-For", "127.0.0.1")
	if got := Address(r).String(); got != "10.1.2.3" {
		t.Errorf("got %s", got)
	}
}
