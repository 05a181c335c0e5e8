package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
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
				var d *DeniedError
				if !errors.As(err, &d) || d.Status != status || d.Code != "access_denied" || d.Target != "m2" {
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
		{401, "Watchword-Decision: " + decision, `{"error":"access_denied"}`, "watchword allow m1 m2 (status 401, access_denied, decision " + decision + ")"},
		{401, "", `{"error":"invalid_token","error_description":"expired"}`, "watchword credential create m1 (status 401, invalid_token)"},
		{401, "", `{"error":"invalid_client","error_description":"not good here"}`, "watchword credential create m1 (status 401, invalid_client)"},
		{400, "Watchword-Decision: " + decision, `{"error":"invalid_target","error_description":"no rule"}`, "watchword allow m1 m2 (status 400, invalid_target, decision " + decision + ")"},
		{400, "Watchword-Decision: " + decision, `{"error":"invalid_scope","error_description":"not granted"}`, "ask an operator to run: watchword why " + decision + " (status 400, invalid_scope: not granted, decision "},
		{400, "", `{"error":"invalid_scope"}`, "or the rule lacks scope read write; ask an operator to run: watchword audit tail (status 400"},
		{400, "", `{"error":"invalid_request"}`, "the server refused (status 400, invalid_request)"},
		{404, "", `<html>`, "is its address right? (status 404)"},
		// What a stranger may write into our logs is bounded.
		{401, "Watchword-Decision: <b>", `{"error":"x\ny"}`, "the server refused; is its address right? (status 401)"},
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

// No command is told that names a service nobody knows here.
func TestErrorsOfANamelessCallerHaveNoCommandToFillIn(t *testing.T) {
	for code, want := range map[string]string{
		"access_denied": "; ask an operator to run: watchword why d1 (status 401, access_denied, decision d1)",
		"invalid_token": "; ask an operator for a new credential (status 401, invalid_token, decision d1)",
	} {
		e := &DeniedError{Target: "m2", Status: 401, Code: code, Description: "said by us", DecisionID: "d1"}
		if got := e.Error(); !strings.HasSuffix(got, want) {
			t.Errorf("%s: got %q, want %q at the end", code, got, want)
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
			var u *UnavailableError
			if !errors.As(err, &u) || !strings.Contains(err.Error(), "redirects") || strings.Contains(err.Error(), "leak") {
				t.Errorf("%d to %q: got %v, want an UnavailableError about the redirect", status, to, err)
			}
			if len(sent) != 1 {
				t.Errorf("%d to %q: requests went to %q", status, to, sent)
			}
		}
	}
}
