package app

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/verify"
)

// follow makes a verifier of m2 that follows the deny-list of s.
func (s *server) follow(audience string) *verify.Verifier {
	s.t.Helper()
	v, err := verify.New(s.t.Context(), verify.Config{
		Issuer: issuerURL, Audience: audience, JWKSURL: s.url + "/.well-known/jwks.json",
		Revocations: verify.Revocations{URL: s.url + "/oauth2/denylist", FailClosedAfter: time.Minute},
		Logger:      slog.New(slog.DiscardHandler),
	})
	must(s.t, err)
	s.t.Cleanup(func() { v.Close() })
	return v
}

// eventually asks again until it is so. How long that takes on a machine with other work is no claim of a test.
func eventually(t testing.TB, what string, ask func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !ask() {
		select {
		case <-ctx.Done():
			t.Errorf("%s: not within a minute", what)
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// placed reports whether the status list of the token has it as INVALID.
func (s *server) placed(token string) bool {
	s.t.Helper()
	list := part(s.t, token, 1)["status"].(map[string]any)["status_list"].(map[string]any)
	uri, ok := strings.CutPrefix(list["uri"].(string), issuerURL)
	if !ok {
		s.t.Fatalf("the status list is at %v", list["uri"])
	}
	a := s.do(s.request("GET", s.url+uri, ""))
	if a.status != http.StatusOK {
		s.t.Fatalf("%s: got %d %s", uri, a.status, a.body)
	}
	body := part(s.t, a.body, 1)
	if body["sub"] != list["uri"] {
		s.t.Errorf("the list is about %v, not %v", body["sub"], list["uri"])
	}
	raw, err := base64.RawURLEncoding.DecodeString(body["status_list"].(map[string]any)["lst"].(string))
	must(s.t, err)
	z, err := zlib.NewReader(bytes.NewReader(raw))
	must(s.t, err)
	bits, err := io.ReadAll(z)
	must(s.t, err)
	n := int(list["idx"].(float64))
	return bits[n/8]>>(n%8)&1 == 1
}

func (s *server) active(token string) bool {
	s.t.Helper()
	return s.introspect("m2", token).json(s.t)["active"] == true
}

// REV-001, INT-004, TOK-030: whatever is revoked, it is in the answer of introspection at once, and
// arrives on other replicas, at verifiers that ask nobody, and in status lists.
func TestRevocationArrives(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){"everywhere": revocationsArrive})
}

func revocationsArrive(t *testing.T, w *world) {
	there := w.replica()
	verifiers := []*verify.Verifier{w.follow("m2"), there.follow("m2")}
	admin := func(path, body string) { w.operate("POST", path, body) }
	jti := func(token string) string { return part(t, token, 1)["jti"].(string) }
	for _, c := range []struct {
		what   string
		listed bool // in status lists
		revoke func(name, credential, token string)
	}{
		{"by its client", true, func(name, _, token string) { w.revoke(name, token) }},
		{"by an operator who has it", true, func(_, _, token string) { admin("/revocations", `{"token":"`+token+`"}`) }},
		{"by its jti", false, func(_, _, token string) { admin("/revocations", `{"jti":"`+jti(token)+`"}`) }},
		{"its credential", true, func(_, credential, _ string) { admin("/credentials/"+credential+"/revoke", "") }},
		{"its service disabled", true, func(name, _, _ string) { w.operate("PATCH", "/services/"+name, `{"disabled":true}`) }},
		{"its service deleted", true, func(name, _, _ string) { w.operate("DELETE", "/services/"+name, "") }},
		{"the key that signed it", false, func(_, _, token string) { admin("/keys/"+part(t, token, 0)["kid"].(string)+"/revoke", "") }},
	} {
		name := w.fresh("revoked")
		eventually(t, "the service elsewhere", func() bool { return there.tokenRequest(credentialsFor("m2"), basic(name)).status == 200 })
		token, other := w.get(name, "m2"), w.get(name, "m2")
		credential := part(t, token, 1)["deps"].([]any)[1].(string)
		if !w.active(token) || !there.active(token) || w.placed(token) || there.placed(token) {
			t.Errorf("%s: revoked before it was", c.what)
		}
		for _, v := range verifiers {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Errorf("%s: before: %v", c.what, err)
			}
		}
		c.revoke(name, credential, token)
		if w.active(token) {
			t.Errorf("%s: active on the replica that revoked it", c.what)
		}
		eventually(t, c.what+": introspection elsewhere", func() bool { return !there.active(token) })
		for _, v := range verifiers {
			eventually(t, c.what+": verifier", func() bool {
				_, err := v.Verify(t.Context(), token)
				// A key set without the key may be there before the list that names it.
				return errors.Is(err, verify.ErrRevoked) || c.what == "the key that signed it" && err != nil
			})
		}
		if !c.listed {
			continue
		}
		eventually(t, c.what+": status list", func() bool { return w.placed(token) && there.placed(token) })
		one := strings.HasPrefix(c.what, "by")
		if w.placed(other) == one {
			t.Errorf("%s: what the status list says of another token: %v", c.what, !one)
		}
		if _, err := verifiers[0].Verify(t.Context(), other); (err == nil) != one {
			t.Errorf("%s: verifying another token: %v", c.what, err)
		}
	}
}

// waitFor begins a long poll and returns when it waits. Its answer comes later.
func (s *server) waitFor(seconds string) <-chan answer {
	s.t.Helper()
	etag := s.do(s.request("GET", s.url+"/oauth2/denylist", "")).header.Get("ETag")
	answered := make(chan answer, 1)
	go func() {
		answered <- s.do(s.request("GET", s.url+"/oauth2/denylist?wait="+seconds, "", "If-None-Match", etag))
	}()
	for s.waiting(s.t) < 1 {
		runtime.Gosched()
	}
	return answered
}

// waiting is how many wait for another deny-list.
func (s *server) waiting(t testing.TB) float64 {
	t.Helper()
	families, err := s.s.registry.Gather()
	must(t, err)
	for _, f := range families {
		if f.GetName() == "watchword_http_requests_waiting" {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatal("no such measurement")
	return 0
}

// A server that stops does not wait for those who wait for it: it would take longer than it has.
func TestPollersLeaveWhenTheServerStops(t *testing.T) {
	s := start(t, testConfig(t))
	answered := s.waitFor("25")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if a := <-answered; a.status != http.StatusNotModified {
		t.Errorf("got %d", a.status)
	}
}

// The listener's limits, here shorter than any wait, do not end it.
func TestPollersWaitBeyondTheLimitsOfOtherRequests(t *testing.T) {
	s := startWith(t, testConfig(t), func(s *Server) {
		s.listeners[0].server.ReadTimeout, s.listeners[0].server.WriteTimeout = 50*time.Millisecond, 50*time.Millisecond
	})
	s.client.Transport.(*http.Transport).DisableKeepAlives = true
	began := time.Now()
	if a := <-s.waitFor("1"); a.status != http.StatusNotModified || time.Since(began) < time.Second {
		t.Errorf("got %d after %v", a.status, time.Since(began))
	}
}
