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

	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/verify"
)

func TestRevocationArrives(t *testing.T) {
	onBothStores(t, map[string]func(*testing.T, *world){
		"everywhere": revocationsArrive,
		"exchanged":  revocationOfWhatWasExchanged,
		"enabled":    revocationTakenBack,
		"odd":        oddRevocationRequests,
		"bounded":    ownRevocationsAreBounded,
	})
}

// follow makes a verifier of m2 that follows the deny-list of s.
func (s *server) follow(audience string) *verify.Verifier {
	s.t.Helper()
	v, err := verify.New(s.t.Context(), verify.Config{
		Issuer: issuerURL, Audience: audience, JWKSURL: s.url + "/.well-known/jwks.json",
		Revocations: verify.Revocations{URL: s.url + "/oauth2/denylist", FailClosedAfter: time.Minute},
		Logger:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { v.Close() })
	return v
}

// eventually asks again until it is so. How long that takes on a machine with other work is no claim of a test.
func eventually(t *testing.T, what string, ask func() bool) {
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
	if err != nil {
		s.t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		s.t.Fatal(err)
	}
	bits, err := io.ReadAll(z)
	if err != nil {
		s.t.Fatal(err)
	}
	n := int(list["idx"].(float64))
	return bits[n/8]>>(n%8)&1 == 1
}

func (s *server) active(token string) bool {
	s.t.Helper()
	return s.introspect("m2", token).json(s.t)["active"] == true
}

// REV-001, INT-004, TOK-030: whatever is revoked, it is in the answer of introspection at once, and
// arrives on other replicas, at verifiers that ask nobody, and in status lists.
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

// TXC-007: what was made of a revoked token is revoked with it.
func revocationOfWhatWasExchanged(t *testing.T, w *world) {
	there := w.replica()
	v := there.follow("m3")
	subject := w.get("m1", "m2")
	token := given(t, w.tokenRequest(form("grant_type", exchangeGrant, "audience", "m3", "subject_token", subject, "subject_token_type", accessToken), basic("m2")))
	if _, err := v.Verify(t.Context(), token); err != nil || w.placed(token) {
		t.Errorf("before: %v", err)
	}
	w.revoke("m1", subject)
	eventually(t, "verifier", func() bool {
		_, err := v.Verify(t.Context(), token)
		return errors.Is(err, verify.ErrRevoked)
	})
	eventually(t, "status list", func() bool { return there.placed(token) })
}

// A service that is enabled again has its tokens back.
func revocationTakenBack(t *testing.T, w *world) {
	there := w.replica()
	v := there.follow("m2")
	name := w.fresh("blinks")
	token := w.get(name, "m2")
	good := func() bool { _, err := v.Verify(t.Context(), token); return err == nil }
	for _, disabled := range []bool{true, false, true, false} {
		w.change(name, func(svc *directory.Service) { svc.Disabled = disabled })
		eventually(t, "verifier", func() bool { return good() == !disabled })
		if w.placed(token) != disabled || w.active(token) == disabled {
			t.Errorf("disabled %v: status %v", disabled, w.placed(token))
		}
	}
}

// Nothing that is sent here is a failure of the server.
func oddRevocationRequests(t *testing.T, w *world) {
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/oauth2/denylist", 200},
		{"HEAD", "/oauth2/denylist", 200},
		{"GET", "/oauth2/denylist?wait=1", 200},
		{"GET", "/oauth2/denylist?wait=x", 400},
		{"GET", "/oauth2/denylist?%zz", 400},
		{"POST", "/oauth2/denylist", 405},
		{"OPTIONS", "/oauth2/denylist", 405},
		{"GET", "/oauth2/denylist/", 404},
		{"GET", "/oauth2/status", 404},
		{"GET", "/oauth2/status/", 404},
		{"GET", "/oauth2/status/a/b", 404},
		{"GET", "/oauth2/status/svc_00112233445566778899aabbccddeeff.00112233445566778899aabbccddeeff/000000000.AAAAAAAAAAA", 404},
		{"GET", "/oauth2/status/%00/..%2f/x", 404},
		{"POST", "/oauth2/status/a/b", 405},
	} {
		a := w.do(w.request(c.method, w.url+c.path, ""))
		if a.status != c.want || c.method == "HEAD" && a.body != "" {
			t.Errorf("%s %s: got %d %s, want %d", c.method, c.path, a.status, a.body, c.want)
		}
	}
	a := w.do(w.request("GET", w.url+"/oauth2/denylist", ""))
	b := w.replica().do(w.request("GET", w.replica().url+"/oauth2/denylist", "", "If-None-Match", a.header.Get("ETag")))
	if a.header.Get("Content-Type") != "application/jwt" || a.header.Get("Cache-Control") != "no-cache" || b.status != 304 || b.body != "" {
		t.Errorf("got %v, then %d", a.header, b.status)
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
	if err != nil {
		t.Fatal(err)
	}
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

// F01. A service that revokes its own tokens without end is held back, and what an operator revokes arrives all the
// same.
func ownRevocationsAreBounded(t *testing.T, w *world) {
	v := w.follow("m2")
	name := w.fresh("revokes")
	refused := 0
	for range directory.MaxOwnRevocations + 20 {
		switch a := w.revoke(name, w.get(name, "m2")); a.status {
		case http.StatusOK:
		case http.StatusTooManyRequests:
			if refused++; a.header.Get("Retry-After") == "" || !strings.Contains(a.body, "revoke its credential") {
				t.Errorf("got %v %s", a.header, a.body)
			}
		default:
			t.Fatalf("got %d %s", a.status, a.body)
		}
	}
	if refused != 20 {
		t.Errorf("%d revocations were refused, want 20", refused)
	}
	if n := w.s.revoked.Size(); n < directory.MaxOwnRevocations || n > directory.MaxOwnRevocations+100 {
		t.Errorf("the deny-list has %d entries", n)
	}
	other := w.fresh("honest")
	token := w.get(other, "m2")
	if a := w.revoke(other, w.get(other, "m2")); a.status != http.StatusOK {
		t.Errorf("another service: got %d %s", a.status, a.body)
	}
	w.operate("POST", "/credentials/"+part(t, token, 1)["deps"].([]any)[1].(string)+"/revoke", "")
	eventually(t, "the operator's revocation", func() bool {
		_, err := v.Verify(t.Context(), token)
		return errors.Is(err, verify.ErrRevoked)
	})
}
