package app

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/redact"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// AUD-002: no record, no token; and it heals by itself.
func TestNoTokenLeavesWithoutARecord(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	// The folder goes, and a file is where it was: nothing can be written there, by root either.
	if err := os.RemoveAll(s.cfg.Audit.Dir); err != nil {
		t.Fatal(err)
	}
	write(t, s.cfg.Audit.Dir, "in the way")
	s.until(m1, `{"target":"m2"}`, 503)
	for name, body := range map[string]string{"allowed": `{"target":"m2"}`, "denied": `{"target":"m3"}`, "malformed": `{`} {
		a := s.ask(m1, body)
		if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "accessToken") {
			t.Errorf("%s: got %d %v %s", name, a.status, a.header, a.body)
		}
	}
	ready := func() answer { return s.do(s.request("GET", strings.TrimSuffix(s.admin, "/admin/v1")+"/readyz", "")) }
	if a := ready(); a.status != 503 || !strings.Contains(a.body, `"audit"`) {
		t.Errorf("readyz: got %d %s", a.status, a.body)
	}
	change := s.do(s.request("PUT", s.admin+"/rules/m1/m3", `{}`, "Authorization", "Bearer "+s.token))
	if change.status != 503 || change.header.Get("Retry-After") == "" {
		t.Errorf("change: got %d %s", change.status, change.body)
	}
	remove(t, s.cfg.Audit.Dir)
	if err := os.Mkdir(s.cfg.Audit.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.until(m1, `{"target":"m2"}`, 200)
	if a := ready(); a.status != 200 {
		t.Errorf("readyz after it healed: got %d %s", a.status, a.body)
	}
	s.until(m1, `{"target":"m3"}`, 401) // the refused change was not made
}

// AUD-001, AUD-007: one record a request, with what is needed to follow it up, and no secret.
func TestEachRequestHasExactlyOneRecord(t *testing.T) {
	s := start(t, testConfig(t))
	m1, m2, _ := s.demo()
	s.allow("m1", "m2", "read")
	expired := s.operate("POST", "/services/m1/credentials", `{"ttlSeconds":1}`)["token"].(string)
	s.until(expired, `{"target":"m1"}`, 401)
	stolen := s.accessToken(m1, "m2")
	requests := []struct {
		credential, body string
		status           int
		outcome, reason  string
	}{
		{m1, `{"target":"m2"}`, 200, "allowed", "allowed"},
		{m1, `{"target":"m2","scope":"read"}`, 200, "allowed", "allowed"},
		{m1, `{"target":"m2","scope":"write"}`, 401, "refused", "scope_not_granted"},
		{m1, `{"target":"m3"}`, 401, "refused", "no_rule"},
		{m1, `{"target":"zz"}`, 401, "refused", "unknown_target"},
		{stolen, `{"target":"m1"}`, 401, "refused", "audience_mismatch"},
		{expired, `{"target":"m1"}`, 401, "refused", "expired"},
		{"garbage", `{"target":"m1"}`, 401, "refused", "malformed"},
		{m2, `{`, 400, "refused", "malformed_body"},
		{m2, `{"target":"m1"}`, 200, "allowed", "allowed"},
	}
	ids := map[string]bool{}
	for range 20 {
		for _, r := range requests {
			a := s.ask(r.credential, r.body)
			if a.status != r.status {
				t.Fatalf("%s: got %d %s, want %d", r.body, a.status, a.body, r.status)
			}
			id := a.header.Get(web.DecisionHeader)
			if len(id) != 32 || ids[id] {
				t.Fatalf("decision id %q is missing or not new", id)
			}
			ids[id] = true
		}
	}
	text := auditText(t, s.cfg.Audit.Dir)
	for id := range ids {
		if n := strings.Count(text, id); n != 1 {
			t.Errorf("decision %s has %d records", id, n)
		}
	}
	for i, r := range requests {
		a := s.ask(r.credential, r.body)
		got := s.record(a.header.Get(web.DecisionHeader))
		if got["outcome"] != r.outcome || got["reason"] != r.reason || got["address"] != "127.0.0.1" ||
			!strings.HasPrefix(got["time"].(string), time.Now().UTC().Format("2006-01")) {
			t.Errorf("request %d: got %v, want %s %s", i, got, r.outcome, r.reason)
		}
	}
	// What is secret is in no record and in no other file but the one that is for it.
	for _, secret := range []string{m1, m2, stolen, expired, s.token} {
		for _, part := range strings.Split(secret, ".")[len(strings.Split(secret, "."))-1:] {
			if strings.Contains(text, part) {
				t.Error("a secret is in the audit log")
			}
			for _, f := range glob(t, s.cfg.Data+"/watchword.db*") {
				raw, err := os.ReadFile(f)
				if err != nil {
					t.Fatal(err)
				}
				if bytes.Contains(raw, []byte(part)) {
					t.Errorf("a secret is in %s", f)
				}
			}
		}
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	report, err := audit.VerifyDir(s.cfg.Audit.Dir, audit.Known{})
	if err != nil || report.Bad != nil {
		t.Errorf("audit log: %v %v", report.Bad, err)
	}
}

// F82: a secret that is sent in the wrong place is written nowhere.
func TestASecretInTheWrongPlaceIsNotRecorded(t *testing.T) {
	s := start(t, testConfig(t))
	bootstrap, _, _ := s.demo()
	secret := clientauth.NewSecret()
	root := strings.TrimSuffix(s.admin, "/admin/v1")
	for _, sent := range []string{secret, bootstrap, s.token, "m1:" + secret} {
		for name, r := range map[string]*http.Request{
			"as client_id, in the header": s.request("POST", s.url+"/oauth2/token", "grant_type=client_credentials", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(sent)+":m1"))),
			"as client_id, in the body":   s.request("POST", s.url+"/oauth2/token", "grant_type=client_credentials&client_secret=m1&client_id="+url.QueryEscape(sent)),
			"as grant and scope":          s.request("POST", s.url+"/oauth2/token", "client_id=m1&client_secret=x&grant_type="+url.QueryEscape(sent)+"&scope="+url.QueryEscape(sent)),
			"as target":                   s.request("POST", s.url+"/accesstoken", fmt.Sprintf(`{"target":%q,"scope":%q}`, sent, sent), "Authorization", "Bearer "+bootstrap),
			"as request id":               s.request("POST", s.url+"/accesstoken", `{}`, "X-Request-Id", strings.TrimPrefix(sent, "m1:")),
			"as the id of a credential":   s.request("DELETE", root+"/admin/v1/credentials/"+url.PathEscape(sent), "", "Authorization", "Bearer "+s.token),
			"as the name of a service":    s.request("GET", root+"/admin/v1/services/"+url.PathEscape(sent), "", "Authorization", "Bearer "+sent),
		} {
			if strings.HasSuffix(r.URL.Path, "/oauth2/token") {
				r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			}
			if a := s.do(r); a.status >= 500 {
				t.Errorf("%s: got %d %s", name, a.status, a.body)
			}
		}
	}
	s.s.usage.Flush(t.Context())
	text := auditText(t, s.cfg.Audit.Dir)
	if strings.Count(text, redact.Mark) < 15 {
		t.Errorf("only %d places were taken out: the test proves little", strings.Count(text, redact.Mark))
	}
	for _, f := range glob(t, s.cfg.Data+"/watchword.db*") {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text += string(raw)
	}
	for _, sent := range []string{secret, bootstrap[strings.LastIndexByte(bootstrap, '.')+1:], s.token} {
		if at := strings.Index(text, sent); at >= 0 {
			t.Errorf("a secret is on disk: %q", text[max(0, at-300):at+len(sent)])
		}
	}
}
