package client

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func newBody(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

// callee records what reaches it and rejects the tokens in bad.
type callee struct {
	bad  map[string]bool
	seen []string // "token body"
}

func (c *callee) RoundTrip(r *http.Request) (*http.Response, error) {
	body := ""
	if r.Body != nil {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if err := r.Body.Close(); err != nil {
			return nil, err
		}
		body = string(b)
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	c.seen = append(c.seen, strings.TrimSpace(token+" "+body))
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: newBody("hello"), Request: r}
	if c.bad[token] || c.bad["*"] {
		resp.StatusCode = http.StatusUnauthorized
		resp.Header.Set("WWW-Authenticate", `Bearer realm="m2", error="invalid_token", error_description="expired"`)
		resp.Body = newBody("rejected")
	}
	return resp, nil
}

func send(t *testing.T, rt http.RoundTripper, body io.Reader) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://m2/hello", body)
	must(t, err)
	resp, err := rt.RoundTrip(req)
	must(t, err)
	if req.Header.Get("Authorization") != "" || resp.Request.Header.Get("Authorization") != "" {
		t.Error("the token is in the caller's request")
	}
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	must(t, resp.Body.Close())
	return string(b)
}

// SCL-010: a token that a callee no longer takes is fetched again, once.
func TestRejectedTokenIsRenewedAndTheRequestSentAgainOnce(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	m2 := &callee{bad: map[string]bool{"token-1": true}}
	rt := newClient(t, s).Transport("m2", m2)
	if got := send(t, rt, strings.NewReader("body")); got != "hello" {
		t.Errorf("got %q, want hello", got)
	}
	if got := send(t, rt, nil); got != "hello" {
		t.Errorf("got %q, want hello", got)
	}
	if got, want := strings.Join(m2.seen, ","), "token-1 body,token-2 body,token-2"; got != want {
		t.Errorf("the callee saw %s, want %s", got, want)
	}
}

// A callee that rejects every token costs one new token in ten seconds, not one a call
// (bug B4 of the public demo: 172 calls in 2 s).
func TestCalleeThatRejectsEverythingCausesNoStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Hour}
		m2 := &callee{bad: map[string]bool{"*": true}}
		rt := newClient(t, s).Transport("m2", m2)
		for range 100 {
			if got := send(t, rt, nil); got != "rejected" {
				t.Errorf("got %q, want the callee's own answer", got)
			}
			<-time.After(100 * time.Millisecond)
		}
		if n := len(s.requests()); n > 2 {
			t.Errorf("%d tokens were asked for in ten seconds, want 2", n)
		}
		if n := len(m2.seen); n > 101 {
			t.Errorf("the callee was called %d times for 100 requests", n)
		}
	})
}

// The old token stays while the server cannot give a new one: the callee may be wrong.
func TestRejectedTokenStaysWhenThereIsNoOther(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	m2 := &callee{bad: map[string]bool{"token-1": true}}
	c := newClient(t, s)
	rt := c.Transport("m2", m2)
	mustToken(t, c.TokenSource("m2"))
	s.set(true, nil)
	if got := send(t, rt, nil); got != "rejected" {
		t.Errorf("got %q, want the callee's own answer", got)
	}
	m2.bad = nil
	if got := send(t, rt, nil); got != "hello" {
		t.Errorf("got %q, want hello", got)
	}
}

func TestNewerTokenIsTakenInsteadOfAskingAgain(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	c := newClient(t, s)
	src := c.TokenSource("m2")
	old := mustToken(t, src)
	for range 3 { // as when three requests were rejected at once
		if got, ok := c.renew(t.Context(), src.q, old); !ok || got.Reveal() != "token-2" {
			t.Errorf("got %q, %v; want token-2", got.Reveal(), ok)
		}
	}
}

func TestRequestThatCannotBeReplayedIsSentOnce(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	m2 := &callee{bad: map[string]bool{"token-1": true}}
	rt := newClient(t, s).Transport("m2", m2)
	if got := send(t, rt, io.MultiReader(strings.NewReader("stream"))); got != "rejected" {
		t.Errorf("got %q, want the callee's own answer", got)
	}
	if len(m2.seen) != 1 || len(s.requests()) != 1 {
		t.Errorf("the callee saw %q", m2.seen)
	}
}

func TestOtherAnswersAreNotRetried(t *testing.T) {
	for challenge, want := range challenges {
		s := &fakeServer{ttl: time.Hour}
		calls := 0
		rt := newClient(t, s).Transport("m2", roundTripFunc(func(r *http.Request) (*http.Response, error) {
			calls++
			return &http.Response{StatusCode: http.StatusUnauthorized, Header: http.Header{"Www-Authenticate": {challenge}}, Body: newBody(""), Request: r}, nil
		}))
		send(t, rt, nil)
		if retried := calls == 2; retried != want {
			t.Errorf("%s: retried %v, want %v", challenge, retried, want)
		}
	}
}

var challenges = map[string]bool{
	`Bearer error="invalid_token"`:                                   true,
	`bearer error=invalid_token`:                                     true,
	`Bearer realm="a, b", scope="x" , error = "invalid_token"`:       true,
	`Basic realm="x", Bearer realm="y", error="invalid_token"`:       true,
	`Negotiate, Bearer error="invalid_token", Basic realm="x"`:       true,
	`Bearer realm="m2"`:                                              false,
	`Bearer`:                                                         false,
	``:                                                               false,
	`Bearer error="insufficient_scope"`:                              false,
	`Bearer realm="x, error=\"invalid_token\""`:                      false,
	`Bearer realm="error=", error_description="invalid_token"`:       false,
	`DPoP error="invalid_token"`:                                     false,
	`Bearer realm="m2", DPoP error="invalid_token"`:                  false,
	`Bearer error="invalid_request", error_description="a", x="y\"`:  false,
	`Bearer realm="unterminated, error="invalid_token"`:              false,
	`Bearer error_uri="http://x/", Digest error="invalid_token", a,`: false,
}

func FuzzChallenged(f *testing.F) {
	for c := range challenges {
		f.Add(c)
	}
	f.Fuzz(func(t *testing.T, challenge string) {
		rejected := challenged(http.Header{"Www-Authenticate": {challenge}}, "Bearer", "invalid_token")
		if rejected && !strings.Contains(challenge, "invalid_token") {
			t.Errorf("%q reads as a rejected token", challenge)
		}
	})
}

func TestFailedTokenClosesTheBodyAndReturnsTheTypedError(t *testing.T) {
	s := &fakeServer{down: true}
	m2 := &callee{}
	body := &closeRecorder{Reader: strings.NewReader("x")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://m2/", body)
	must(t, err)
	h := newClient(t, s).HTTPClient("m2")
	_, err = h.Do(req)
	if _, ok := errors.AsType[*UnavailableError](err); !ok || !body.closed.Load() || len(m2.seen) != 0 {
		t.Errorf("got %v, body closed: %v", err, body.closed.Load())
	}
}

type closeRecorder struct {
	io.Reader
	closed atomic.Bool
}

func (c *closeRecorder) Close() error { c.closed.Store(true); return nil }

// The token is for the target alone: a redirect to another origin goes without it.
func TestRedirectElsewhereDoesNotCarryTheToken(t *testing.T) {
	s := &fakeServer{ttl: time.Hour}
	var elsewhere, here, chosen string
	others := http.NewServeMux()
	others.HandleFunc("/", func(_ http.ResponseWriter, r *http.Request) {
		elsewhere = "authorization: " + r.Header.Get("Authorization")
	})
	evil := httptest.NewServer(others)
	defer evil.Close()
	mux := http.NewServeMux()
	mux.Handle("/away", http.RedirectHandler(evil.URL, http.StatusTemporaryRedirect))
	// F91: back is another request that the other origin chose.
	others.HandleFunc("/back", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.URL.Query().Get("to")+"/chosen", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/awayandback", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, evil.URL+"/back?to="+r.Host, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/chosen", func(_ http.ResponseWriter, r *http.Request) {
		chosen = "authorization: " + r.Header.Get("Authorization")
	})
	mux.Handle("/moved", http.RedirectHandler("/new", http.StatusTemporaryRedirect))
	mux.HandleFunc("/new", func(_ http.ResponseWriter, r *http.Request) { here = r.Header.Get("Authorization") })
	m2 := httptest.NewServer(mux)
	defer m2.Close()
	h := newClient(t, s).HTTPClient("m2")
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for _, path := range []string{"/away", "/awayandback", "/moved"} {
		resp, err := h.Get(m2.URL + path)
		must(t, err)
		must(t, resp.Body.Close())
	}
	if elsewhere != "authorization: " {
		t.Errorf("the other origin saw %q", elsewhere)
	}
	if chosen != "authorization: " {
		t.Errorf("a request that the other origin chose had %q", chosen)
	}
	if here != "Bearer token-1" {
		t.Errorf("the same origin saw %q, want the token", here)
	}
}
