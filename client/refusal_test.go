package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/reason"
)

// m1Credential has the payload {"sub":"m1"}; fakeServer does not accept it, so that
// tests set its answer.
const m1Credential = "e30.eyJzdWIiOiJtMSJ9.c2ln"

// refuse answers every request the same, whatever the credential.
func refuse(status int, header, body string) http.RoundTripper {
	return roundTripFunc(func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		if name, value, ok := strings.Cut(header, ": "); ok {
			h.Set(name, value)
		}
		return &http.Response{StatusCode: status, Header: h, Body: newBody(body), Request: r}, nil
	})
}

// SCL-007. A refusal is not tried again, and kept for at most ten seconds.
func TestRefusalIsKeptForTenSeconds(t *testing.T) {
	for name, endpoint := range endpoints {
		t.Run(name, func(t *testing.T) { refusalIsKept(t, endpoint) })
	}
}

func refusalIsKept(t *testing.T, endpoint func(*Config)) {
	for _, status := range []int{400, 401, 403, 404, 405, 422} {
		synctest.Test(t, func(t *testing.T) {
			s := &fakeServer{ttl: time.Minute}
			s.answer = func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(status)
				_, _ = fmt.Fprint(w, `{"error":"access_denied"}`)
			}
			c := newClient(t, s, endpoint)
			for range 100 {
				_, err := c.TokenSource("m2").Token(t.Context())
				if d, ok := errors.AsType[*DeniedError](err); !ok || d.Status != status || d.Code != "access_denied" || d.Target != "m2" {
					t.Fatalf("got %v, want a DeniedError of status %d", err, status)
				}
			}
			<-time.After(9 * time.Second)
			_, _ = c.TokenSource("m2").Token(t.Context())
			if n := len(s.requests()); n != 1 {
				t.Errorf("status %d: %d requests, want 1", status, n)
			}
			// Another target is another question.
			s.set(false, nil)
			mustToken(t, c.TokenSource("m3"))
			<-time.After(time.Second)
			mustToken(t, c.TokenSource("m2"))
			<-time.After(time.Hour)
		})
	}
}

func TestRefusedRenewalLeavesTheTokenItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: 100 * time.Second}
		src := newClient(t, s).TokenSource("m2")
		mustToken(t, src)
		s.set(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
		for range 99 {
			<-time.After(time.Second)
			mustToken(t, src)
		}
		if n := len(s.requests()); n > 10 {
			t.Errorf("%d requests, want one in ten seconds at most", n)
		}
		<-time.After(2 * time.Second)
		var d *DeniedError
		if _, err := src.Token(t.Context()); !errors.As(err, &d) {
			t.Errorf("after expiry: got %v, want a DeniedError", err)
		}
	})
}

func TestErrorsSayWhatToDoNext(t *testing.T) {
	const decision = "0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		status             int
		header, body, want string
	}{
		{401, "Watchword-Decision: " + decision, `{"error":"access_denied"}`, `no token for "m2": no rule allows this call (status 401, access_denied); an operator sees why with: watchword why ` + decision},
		{401, "Watchword-Decision: " + decision, `{"error":"access_denied","error_description":"no rule allows this call; ask an operator, with the id"}`, `"m2": no rule allows this call (status 401`},
		{401, "", `{"error":"invalid_token","error_description":"expired"}`, `"m2": expired (status 401, invalid_token)`},
		{401, "", `{"error":"invalid_client"}`, "the client is unknown, or its authentication failed (status 401, invalid_client)"},
		{400, "Watchword-Decision: " + decision, `{"error":"invalid_scope","error_description":"a token with these scopes would be longer than 4 KiB; request fewer scopes"}`, "would be longer than 4 KiB; request fewer scopes (status 400, invalid_scope); an operator sees why with: watchword why " + decision},
		{400, "", `{"error":"invalid_scope"}`, "the target does not grant this scope to this client (status 400, invalid_scope)"},
		{400, "", `{"error":"of_another_server"}`, "the server refused (status 400, of_another_server)"},
		{404, "", `<html>`, "the server refused (status 404); is the server's address right?"},
		// What a stranger may write into our logs is bounded.
		{401, "Watchword-Decision: <b>", `{"error":"x\ny"}`, "the server refused (status 401); is the server's address right?"},
		{403, "", `{"error":"a","error":"b"}`, "(status 403)"},
		{403, "", strings.Repeat("x", 2*maxAnswer), "(status 403)"},
		{503, "", `{"error":"temporarily_unavailable"}`, "it answered 503 temporarily_unavailable; next attempt in"},
		{500, "", `panic: x`, "it answered 500"},
		{204, "", ``, "it answered 204, which is not an answer"},
		{200, "", `<html>login</html>`, "not one well-formed JSON object"},
	} {
		client := newClient(t, refuse(c.status, c.header, c.body), func(cfg *Config) { cfg.Credential = Static(m1Credential) })
		var scopes []string
		if strings.Contains(c.body, "scope") {
			scopes = []string{"write", "read"}
		}
		_, err := client.TokenSource("m2", scopes...).Token(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d %s: got %q, want %q in it", c.status, c.body, err, c.want)
		}
		if err != nil && (strings.ContainsAny(err.Error(), "\n<") || strings.Contains(err.Error(), m1Credential)) {
			t.Errorf("%d %s: got %q", c.status, c.body, err)
		}
	}
}

// F14: the server tells a caller too little to know which command would help, so none is named that changes rules or
// credentials, whatever the code is, and whoever asked for what.
func TestErrorsAdviseNoChange(t *testing.T) {
	for _, code := range reason.Names() {
		e := &DeniedError{Target: "https://m2.example.com", Scope: "read", Caller: "m1", Status: 400, Code: code, DecisionID: "d1"}
		got := e.Error()
		if want := "(status 400, " + code + "); an operator sees why with: watchword why d1"; !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %q, want %q at the end", code, got, want)
		}
		if strings.Count(got, "watchword ") != 1 {
			t.Errorf("%s: got %q", code, got)
		}
	}
}

// SCL-008. No redirect is followed with the credential, to whatever host.
func TestRedirectIsNotFollowed(t *testing.T) {
	for name, endpoint := range endpoints {
		t.Run(name, func(t *testing.T) { redirectIsNotFollowed(t, endpoint) })
	}
}

func redirectIsNotFollowed(t *testing.T, endpoint func(*Config)) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"http://evil.example/accesstoken?leak=1", "/accesstoken/", "http://localhost:8000/accesstoken", ""} {
			var sent []string
			s := roundTripFunc(func(r *http.Request) (*http.Response, error) {
				sent = append(sent, r.URL.String())
				return &http.Response{StatusCode: status, Header: http.Header{"Location": {to}}, Body: newBody(""), Request: r}, nil
			})
			follow := func(*http.Request, []*http.Request) error { return nil }
			c := newClient(t, s, endpoint, func(cfg *Config) { cfg.HTTPClient.CheckRedirect = follow })
			_, err := c.TokenSource("m2").Token(t.Context())
			if _, ok := errors.AsType[*UnavailableError](err); !ok || !strings.Contains(err.Error(), "redirects") || strings.Contains(err.Error(), "leak") {
				t.Errorf("%d to %q: got %v, want an UnavailableError about the redirect", status, to, err)
			}
			if len(sent) != 1 {
				t.Errorf("%d to %q: requests went to %q", status, to, sent)
			}
		}
	}
}
