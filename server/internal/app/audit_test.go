package app

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/redact"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// AUD-002: no record, no token; and it heals by itself.
func TestNoTokenLeavesWithoutARecord(t *testing.T) {
	s := start(t, testConfig(t))
	m1, _, _ := s.demo()
	// The folder goes, and a file is where it was: nothing can be written there, by root either.
	must(t, os.RemoveAll(s.cfg.Audit.Dir))
	write(t, s.cfg.Audit.Dir, "in the way")
	s.until(m1, `{"target":"m2"}`, 503)
	for name, body := range map[string]string{"allowed": `{"target":"m2"}`, "denied": `{"target":"m3"}`, "malformed": `{`} {
		a := s.ask(m1, body)
		if a.status != 503 || a.header.Get("Retry-After") == "" || strings.Contains(a.body, "accessToken") {
			t.Errorf("%s: got %d %v %s", name, a.status, a.header, a.body)
		}
	}
	if a := s.readyz(); a.status != 503 || !strings.Contains(a.body, `"audit"`) {
		t.Errorf("readyz: got %d %s", a.status, a.body)
	}
	change := s.do(s.request("PUT", s.admin+"/rules/m1/m3", `{}`, "Authorization", "Bearer "+s.token))
	if change.status != 503 || change.header.Get("Retry-After") == "" {
		t.Errorf("change: got %d %s", change.status, change.body)
	}
	remove(t, s.cfg.Audit.Dir)
	must(t, os.Mkdir(s.cfg.Audit.Dir, 0o700))
	s.until(m1, `{"target":"m2"}`, 200)
	if a := s.readyz(); a.status != 200 {
		t.Errorf("readyz after it healed: got %d %s", a.status, a.body)
	}
	s.until(m1, `{"target":"m3"}`, 401) // the refused change was not made
}

// AUD-001, AUD-007: one record a request, with what is needed to follow it up, and no secret. After a
// few requests of whoever proves nothing, these are counted (F02).
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
	strangers, counted := 0, 0
	for range 20 {
		for _, r := range requests {
			a := s.ask(r.credential, r.body)
			if a.status != r.status {
				t.Fatalf("%s: got %d %s, want %d", r.body, a.status, a.body, r.status)
			}
			id := a.header.Get(web.DecisionHeader)
			if slices.Contains([]string{"audience_mismatch", "expired", "malformed", "malformed_body"}, r.reason) {
				if strangers++; id == "" {
					counted++
					continue
				}
			}
			if len(id) != 32 || ids[id] {
				t.Fatalf("%s: decision id %q is missing or not new", r.reason, id)
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
	if recorded := strangers - counted; recorded < 15 || recorded > 30 {
		t.Errorf("of %d requests that proved nothing %d were recorded; want some 20", strangers, recorded)
	}
	for i, r := range requests {
		a := s.ask(r.credential, r.body)
		if a.header.Get(web.DecisionHeader) == "" {
			counted++
			continue
		}
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
				must(t, err)
				if bytes.Contains(raw, []byte(part)) {
					t.Errorf("a secret is in %s", f)
				}
			}
		}
	}
	must(t, s.stop())
	report, err := audit.VerifyDir(s.cfg.Audit.Dir, audit.Known{})
	if err != nil || report.Bad != nil {
		t.Errorf("audit log: %v %v", report.Bad, err)
	}
	if _, more := refusals(t, s.cfg.Audit.Dir); more != counted {
		t.Errorf("the log counts %d, want %d", more, counted)
	}
}

// refusals is how many refusals of strangers have records of their own in the log in dir, and how many
// it only counts.
func refusals(t *testing.T, dir string) (recorded, counted int) {
	t.Helper()
	err := audit.Tail(t.Context(), dir, 1<<30, false, func(line []byte) error {
		r, err := audit.ParseLine(line)
		if err != nil {
			return err
		}
		if r.Kind == audit.KindDecision && r.Outcome == audit.Refused && r.CallerUID == "" || r.Kind == audit.KindMint && r.Reason == "invalid_api_key" {
			recorded++
		}
		if r.Action == "refusals.more" {
			for _, n := range r.Detail {
				more, err := strconv.Atoi(n)
				if err != nil {
					return err
				}
				counted += more
			}
		}
		return nil
	})
	must(t, err)
	return recorded, counted
}

// F02: whoever proves nothing takes neither the disk nor the time of the others, at none of the
// endpoints, while an honest caller goes on.
func TestAFloodOfRequestsWithoutAnIdentityFillsNoDisk(t *testing.T) {
	cfg := testConfig(t)
	cfg.SuperTokens.APIKeys = []config.Secret{config.NewSecret("an-api-key-of-enough-characters-1")}
	s := start(t, cfg)
	m1, _, _ := s.demo()
	superTokens := s.s.listeners[2].URL()
	long := strings.Repeat("\x7f", 3000)
	flood := []func() *http.Request{
		func() *http.Request {
			return s.request("POST", s.url+"/accesstoken", fmt.Sprintf(`{"target":%q}`, strings.Repeat("x", 3000)))
		},
		func() *http.Request {
			r := s.request("POST", s.url+"/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {long}, "client_secret": {"x"}, "scope": {long}, "audience": {long}}.Encode())
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		},
		func() *http.Request {
			r := s.request("POST", s.url+"/oauth2/introspect", url.Values{"token": {long}}.Encode())
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r
		},
		func() *http.Request { return s.request("POST", s.url+"/accesstoken", `{`) },
		func() *http.Request { return s.request("POST", superTokens+"/recipe/jwt", `{}`, "api-key", "guessed") },
		func() *http.Request {
			return s.request("POST", superTokens+"/appid-"+strings.Repeat("x", 3000)+"/recipe/jwt", `{}`)
		},
		func() *http.Request { return s.request("GET", s.admin+"/services/"+strings.Repeat("x", 100), "") },
	}
	const each = 300
	before := len(auditText(t, s.cfg.Audit.Dir))
	var all sync.WaitGroup
	for _, request := range flood {
		all.Go(func() {
			for range each {
				if a := s.do(request()); a.status < 400 || a.status >= 500 && a.status != 503 {
					t.Errorf("%s: got %d %s", request().URL.Path[:20], a.status, a.body)
				}
			}
		})
	}
	const honest = 200
	for range honest {
		s.accessToken(m1, "m2")
	}
	all.Wait()
	text := auditText(t, s.cfg.Audit.Dir)
	if n := strings.Count(text, `"outcome":"allowed","reason":"allowed"`); n != honest {
		t.Errorf("got %d records of tokens, want %d", n, honest)
	}
	grown := len(text) - before - honest*800
	if most := 150 << 10; grown > most {
		t.Errorf("%d requests took %d bytes of the log, want at most %d", each*len(flood), grown, most)
	}
	must(t, s.stop())
	recorded, counted := refusals(t, s.cfg.Audit.Dir)
	if recorded+counted < each*(len(flood)-1) { // the operator API answers 429, without a record
		t.Errorf("the log has %d and counts %d of %d", recorded, counted, each*len(flood))
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
		must(t, err)
		text += string(raw)
	}
	for _, sent := range []string{secret, bootstrap[strings.LastIndexByte(bootstrap, '.')+1:], s.token} {
		if at := strings.Index(text, sent); at >= 0 {
			t.Errorf("a secret is on disk: %q", text[max(0, at-300):at+len(sent)])
		}
	}
}
