package web

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// bodies is a stack that works on most requests at once, and a handler that reads what is sent.
func bodies(most int) (*Stack, http.Handler) {
	s := NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), most)
	return s, s.Handle("/x", func(w http.ResponseWriter, r *http.Request) error {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return &Error{Status: 400, Code: "invalid_request", Cause: err}
		}
		WriteJSON(w, 200, b)
		return nil
	})
}

// gate is a body of which each part arrives when the test says so.
type gate struct {
	asked chan struct{}
	parts chan string
}

func (g gate) Read(p []byte) (int, error) {
	g.asked <- struct{}{}
	part, more := <-g.parts
	if !more {
		return 0, io.EOF
	}
	return copy(p, part), nil
}

// slow posts a body whose first part has arrived, and the next is waited for, when it returns.
func slow(h http.Handler, first string) (body gate, answered chan *httptest.ResponseRecorder) {
	body = gate{make(chan struct{}), make(chan string)}
	answered = make(chan *httptest.ResponseRecorder, 1)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/x", body))
		answered <- w
	}()
	<-body.asked
	body.parts <- first
	<-body.asked
	return body, answered
}

func post(h http.Handler, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/x", strings.NewReader(body)))
	return w
}

// Who sends the beginning of many bodies and never the rest keeps nobody out.
func TestSlowBodiesKeepNobodyOut(t *testing.T) {
	s, h := bodies(2)
	var all []gate
	var answers []chan *httptest.ResponseRecorder
	for range 100 {
		body, answered := slow(h, "a")
		all, answers = append(all, body), append(answers, answered)
	}
	if w := post(h, "short"); w.Code != 200 || w.Body.String() != "short" {
		t.Errorf("while others are slow: got %d %s", w.Code, w.Body)
	}
	for i, body := range all {
		body.parts <- "b"
		<-body.asked
		close(body.parts)
		if w := <-answers[i]; w.Code != 200 || w.Body.String() != "ab" {
			t.Errorf("a slow one: got %d %s", w.Code, w.Body)
		}
	}
	if a, b, c := s.inFlight.Load(), s.arrivals.all.Len()+len(s.arrivals.from), s.long.Load(); a != 0 || b != 0 || c != 0 {
		t.Errorf("left over: %d worked on, %d arriving, %d long", a, b, c)
	}
}

// DOS-013: what arrives while too many are being worked on is turned away, however it came.
func TestBodiesThatArriveAtOnceAreBounded(t *testing.T) {
	s, h := bodies(1)
	body, answered := slow(h, "a")
	s.inFlight.Add(1) // another one is worked on
	body.parts <- "b"
	if w := <-answered; w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d %v", w.Code, w.Header())
	}
	s.inFlight.Add(-1)
	if w := post(h, "short"); w.Code != 200 {
		t.Errorf("afterwards: got %d", w.Code)
	}
}

// Long bodies take memory, so few arrive at once; short ones do not wait for them.
func TestLongBodiesAreBoundedApart(t *testing.T) {
	s, h := bodies(2)
	long := strings.Repeat("x", shortBody+1)
	s.long.Store(MaxLong)
	if w := post(h, long); w.Code != 503 {
		t.Errorf("a long one too many: got %d", w.Code)
	}
	if w := post(h, long[:shortBody-1]); w.Code != 200 {
		t.Errorf("a short one: got %d", w.Code)
	}
	s.long.Store(0)
	if w := post(h, long); w.Code != 200 || w.Body.Len() != len(long) || s.long.Load() != 0 {
		t.Errorf("a long one: got %d, %d bytes; left over: %d", w.Code, w.Body.Len(), s.long.Load())
	}
}

// F03. Of the bodies that arrive from one network the oldest gives way when there are too many, and the bodies of others
// do not.
func TestOldestBodyGivesWay(t *testing.T) {
	s, h := bodies(1000)
	s.arrivals.most, s.arrivals.mostFrom = 12, 4
	from := func(address, first string) (gate, chan *httptest.ResponseRecorder) {
		return slow(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = address + ":1"
			h.ServeHTTP(w, r)
		}), first)
	}
	honest, honestAnswer := from("192.0.2.1", "h")
	var all []gate
	var answers []chan *httptest.ResponseRecorder
	for i := range 7 {
		body, answer := from("[2001:db8::"+strconv.Itoa(i)+"]", "a") // one customer has all of them
		all, answers = append(all, body), append(answers, answer)
	}
	finish := func(body gate, answer chan *httptest.ResponseRecorder) int {
		select {
		case body.parts <- "b":
		case w := <-answer:
			return w.Code
		}
		select {
		case <-body.asked:
			close(body.parts)
			return (<-answer).Code
		case w := <-answer:
			return w.Code
		}
	}
	for i := range all {
		want := 200
		if i < 3 {
			want = 503
		}
		if got := finish(all[i], answers[i]); got != want {
			t.Errorf("body %d: got %d, want %d", i, got, want)
		}
	}
	if got := finish(honest, honestAnswer); got != 200 {
		t.Errorf("from another address: got %d", got)
	}
	if n := s.arrivals.all.Len() + len(s.arrivals.from); n != 0 {
		t.Errorf("%d left over", n)
	}
	// And in all: the oldest, whoever sent it.
	first, firstAnswer := from("192.0.2.1", "h")
	for i := range 12 {
		body, answer := from("192.0.2."+strconv.Itoa(100+i), "a")
		all, answers = append(all, body), append(answers, answer)
	}
	if got := finish(first, firstAnswer); got != 503 {
		t.Errorf("the oldest of all: got %d", got)
	}
	for i := 7; i < len(all); i++ {
		if got := finish(all[i], answers[i]); got != 200 {
			t.Errorf("body %d: got %d", i, got)
		}
	}
}

// F71. The requests of one network take turns, those for documents fewer at once; those of others do not wait for them.
func TestRequestsOfOneNetworkTakeTurns(t *testing.T) {
	for name, c := range map[string]struct {
		atOnce int
		handle func(*Stack, HandlerFunc) http.Handler
		method string
	}{
		"documents": {documentsAtOnce(), func(s *Stack, h HandlerFunc) http.Handler { return s.HandleDocument("/x", h) }, "GET"},
		"others":    {WorkedOnFrom(), func(s *Stack, h HandlerFunc) http.Handler { return s.Handle("/x", h) }, "POST"},
		"answers to followers": {WorkedOnFrom(), func(s *Stack, h HandlerFunc) http.Handler {
			return s.HandleWaiting("/x", func(http.ResponseWriter, *http.Request) {}, h)
		}, "GET"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 0)
				release, running, refused := make(chan struct{}), atomic.Int64{}, atomic.Int64{}
				h := c.handle(s, func(w http.ResponseWriter, r *http.Request) error {
					if _, err := io.ReadAll(r.Body); err != nil {
						return err
					}
					running.Add(1)
					<-release
					w.WriteHeader(200)
					return nil
				})
				ask := func(address string) {
					r := httptest.NewRequest(c.method, "/x", strings.NewReader(strings.Repeat("x", len(c.method)-3)))
					r.RemoteAddr = address + ":1"
					go func() {
						w := httptest.NewRecorder()
						if h.ServeHTTP(w, r); w.Code == 503 {
							refused.Add(1)
						}
					}()
				}
				for i := range 1000 {
					ask("[2001:db8::" + strconv.Itoa(i) + "]") // one customer has all of them
				}
				synctest.Wait()
				if n := int(running.Load()); n != c.atOnce {
					t.Errorf("%d are worked on, want %d", n, c.atOnce)
				}
				ask("192.0.2.1")
				synctest.Wait()
				if n := int(running.Load()); n != c.atOnce+1 {
					t.Errorf("one from elsewhere waits: %d are worked on", n)
				}
				time.Sleep(Patience)
				synctest.Wait()
				if n := int(refused.Load()); n != 1000-c.atOnce {
					t.Errorf("after %s: %d were turned away, want %d", Patience, n, 1000-c.atOnce)
				}
				close(release)
				synctest.Wait()
				if n := len(s.documents.from) + len(s.work.from) + s.documents.all + s.work.all + len(s.arrivals.from) + int(s.inFlight.Load()); n != 0 {
					t.Errorf("%d left over", n)
				}
				s.work.mostFrom = c.atOnce
				s.documents.mostFrom = c.atOnce
				release = make(chan struct{})
				for range c.atOnce + 1 {
					ask("192.0.2.66")
				}
				synctest.Wait()
				if n := int(refused.Load()); n != 1000-c.atOnce+1 {
					t.Errorf("beyond the bound of those who wait: %d were turned away at once", n-(1000-c.atOnce))
				}
				close(release)
			})
		})
	}
}

// F02. Refusals of a network that causes very many are answered late, and those of others are not.
func TestManyRefusalsAreAnsweredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 0)
		status := 401
		h := s.Handle("/x", func(w http.ResponseWriter, _ *http.Request) error {
			if status != 200 {
				return &Error{Status: status, Code: "no"}
			}
			return nil
		})
		took := func(address string) time.Duration {
			began := time.Now()
			r := httptest.NewRequest("GET", "/x", nil)
			r.RemoteAddr = address + ":1"
			h.ServeHTTP(httptest.NewRecorder(), r)
			return time.Since(began)
		}
		for n := range RefusalBurst {
			if took("192.0.2.66") != 0 {
				t.Fatalf("refusal %d is late", n)
			}
		}
		if got := took("192.0.2.66"); got != RefusalDelay {
			t.Errorf("one more took %s, want %s", got, RefusalDelay)
		}
		if took("192.0.2.1") != 0 {
			t.Error("the first of another network is late")
		}
		status = 200
		if took("192.0.2.66") != 0 {
			t.Error("what is granted is late")
		}
		status = 401
		time.Sleep(RefusalRefill * RefusalBurst)
		if took("192.0.2.66") != 0 {
			t.Error("it is never forgiven")
		}
	})
}

// Those behind a proxy whose addresses are not known share one, and are not bounded together.
func TestRequestsWithTheAddressOfAProxyTakeNoTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 0)
		release, running := make(chan struct{}), atomic.Int64{}
		p := Proxies{Networks: []netip.Prefix{netip.MustParsePrefix("192.0.2.66/32")}, Header: "X-Forwarded-For"}
		h := p.Resolve(s.HandleDocument("/keys", func(w http.ResponseWriter, _ *http.Request) error {
			running.Add(1)
			<-release
			w.WriteHeader(200)
			return nil
		}))
		for _, forwarded := range []string{"", "192.0.2.1"} {
			for range 100 {
				r := httptest.NewRequest("GET", "/keys", nil)
				r.RemoteAddr = "192.0.2.66:1"
				if forwarded != "" {
					r.Header.Set("X-Forwarded-For", forwarded)
				}
				go h.ServeHTTP(httptest.NewRecorder(), r)
			}
		}
		synctest.Wait()
		if n := int(running.Load()); n != 100+documentsAtOnce() {
			t.Errorf("%d are worked on, want %d: 100 whose address nobody knows, and %d of one client", n, 100+documentsAtOnce(), documentsAtOnce())
		}
		close(release)
	})
}

// F103: when the server stops, no body is waited for, on any of its stacks; a request whose body has arrived is answered.
func TestBodiesThatArriveGiveWayWhenTheServerStops(t *testing.T) {
	s, _ := bodies(10)
	apart := s.Apart(writeError, MaxLong)
	read, answer := make(chan struct{}), make(chan struct{})
	handler := func(s *Stack) http.Handler {
		return s.Handle("/x", func(w http.ResponseWriter, r *http.Request) error {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				return &Error{Status: 400, Code: "invalid_request", Cause: err}
			}
			if string(b) == "whole" {
				close(read)
				<-answer
			}
			if TurnedAway(r) {
				return errShed
			}
			WriteJSON(w, 200, b)
			return nil
		})
	}
	h := handler(s)
	whole := make(chan *httptest.ResponseRecorder, 1)
	go func() { whole <- post(h, "whole") }()
	<-read
	var late []chan *httptest.ResponseRecorder
	var rest []gate
	for _, h := range []http.Handler{h, handler(apart)} {
		body, answered := slow(h, "a")
		late, rest = append(late, answered), append(rest, body)
	}
	s.Stop()
	for i := range rest {
		rest[i].parts <- "b" // of a real connection, the deadline ends the wait
		if w := <-late[i]; w.Code != 503 || w.Header().Get("Retry-After") == "" {
			t.Errorf("a body that had not arrived: got %d %v", w.Code, w.Header())
		}
	}
	if w := post(h, "new"); w.Code != 503 {
		t.Errorf("a body that comes afterwards: got %d", w.Code)
	}
	close(answer)
	if w := <-whole; w.Code != 200 {
		t.Errorf("a body that had arrived: got %d", w.Code)
	}
}
