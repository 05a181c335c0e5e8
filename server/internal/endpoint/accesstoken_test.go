package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// panicking is an issuer with a mistake in it.
type panicking struct {
	Issuer
	failed []string
}

func (p *panicking) AccessToken(context.Context, *issuer.Proposal) (issuer.Token, string, error) {
	panic("boom")
}

func (p *panicking) Fail(_ context.Context, r issuer.Request, cause error) (string, error) {
	p.failed = append(p.failed, r.RequestID+" "+cause.Error())
	return "id", errors.New("recorded")
}

// AUD-011.
func TestPanicIsRecordedOnce(t *testing.T) {
	p := &panicking{}
	h := web.NewStack(slog.New(slog.DiscardHandler), prometheus.NewRegistry(), 0).Handle("/accesstoken", Table(p, nil, Options{})[0].Serve)
	r := httptest.NewRequest("POST", "/accesstoken", strings.NewReader(`{"target":"m2"}`))
	r.Header.Set("Authorization", "Bearer x")
	r.Header.Set(web.RequestIDHeader, "r1")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 500 || len(p.failed) != 1 || p.failed[0] != "r1 panic" {
		t.Errorf("got %d, recorded %q", w.Code, p.failed)
	}
}

// NAT-006, NAT-020: the credential is in the Authorization header, as a Bearer token.
func TestCredentialIsABearerToken(t *testing.T) {
	for value, want := range map[string]string{
		"Bearer a.b.c": "a.b.c", "bEARER  a.b.c ": "a.b.c",
		"Bearer": "malformed", "Bearer ": "malformed", "Bearer a b": "malformed", "Bearer a,b": "malformed",
		"": "not_bearer", "Token x": "not_bearer", "Basic bTE6c2VjcmV0": "not_bearer", "Basic a.b.c": "not_bearer",
	} {
		p, bad := bearer([]string{value})
		if got := p.Bearer; bad != nil && bad.reason != want || bad == nil && got != want {
			t.Errorf("%q: got %q, %+v, want %s", value, got, bad, want)
		}
	}
	r := httptest.NewRequest("POST", "/accesstoken?access_token=a.b.c", strings.NewReader(`{"target":"m2","access_token":"a.b.c"}`))
	if p, bad := parse(r); bad == nil || bad.reason != "no_credential" || p.Presented.Bearer != "" {
		t.Errorf("in the query and the body: got %+v, %+v", p, bad)
	}
}

// NAT-009, NAT-012, NAT-015, NAT-016.
func TestBodyIsOneStrictObject(t *testing.T) {
	ask := func(body string, header ...string) (*issuer.Proposal, *problem) {
		r := httptest.NewRequest("POST", "/accesstoken", strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer x")
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		return parse(r)
	}
	for _, body := range []string{
		`{"target":["m2"]}`, `{"target":{"$ne":1}}`, `{"target":2}`, `{"target":null}`, `{"target":""}`, `{}`, `[]`, `"m2"`, ``, `null`,
		`{"target":"m2","target":"m3"}`, `{"target":"m2","t\u0061rget":"m3"}`, `{"target":"m2","TARGET":"m3"}`, `{"TARGET":"m3"}`,
		`{"target":"m2","Scope":"read"}`, "{\"target\":\"m\xff\"}", `{"target":"\ud800"}`, "\xef\xbb\xbf{\"target\":\"m2\"}", "{\x00}\x00",
		`{"target":"m2"}//`, `{"target":"m2",}`, `{"target":NaN}`, `{"target":"m2"}{"target":"m3"}`,
		`{"x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `,"target":"m2"}`,
		`{` + strings.Repeat(`"x":1,`, 5000) + `"target":"m2"}`,
		`{"target":"m2","scope":1}`, `{"target":"m2","scope":"a\"b"}`, `{"target":"m2","scope":"a  b"}`,
		`{"target":"m2","scope":"` + strings.Repeat("a ", 30000) + `a"}`,
	} {
		if p, bad := ask(body); bad == nil || bad.kind != issuer.Malformed || bad.status != 0 {
			t.Errorf("%.100q: got %+v, %+v", body, p, bad)
		}
	}
	for name, c := range map[string]struct {
		body   string
		header []string
		status int
	}{
		"form":       {`target=m2`, []string{"Content-Type", formType}, http.StatusUnsupportedMediaType},
		"compressed": {`{"target":"m2"}`, []string{"Content-Encoding", "gzip"}, http.StatusUnsupportedMediaType},
		"too large":  {`{"target":"m2","x":"` + strings.Repeat("x", 70_000) + `"}`, nil, http.StatusRequestEntityTooLarge},
	} {
		if _, bad := ask(c.body, c.header...); bad == nil || bad.status != c.status {
			t.Errorf("%s: got %+v, want %d", name, bad, c.status)
		}
	}
	p, bad := ask(`{"target":"m2","unknown":{"target":"m3"},"scope":"b a"}`, "Content-Type", "application/json; charset=UTF-8")
	if bad != nil || !slices.Equal(p.Targets, []string{"m2"}) || !slices.Equal(p.Scopes, []string{"a", "b"}) {
		t.Errorf("got %+v, %+v", p, bad)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("Bearer abc", "application/json", []byte(`{"target":"m2","scope":"read"}`))
	f.Add("bearer  abc ", "application/json; charset=utf-8", []byte(`{"target":"m2","target":"m3"}`))
	f.Add("Basic abc", "text/plain", []byte("\xff"))
	f.Add("", "", []byte(nil))
	f.Fuzz(func(t *testing.T, authorization, contentType string, body []byte) {
		r := httptest.NewRequest("POST", "/accesstoken", strings.NewReader(string(body)))
		r.Header = http.Header{"Authorization": {authorization}, "Content-Type": {contentType}}
		p, bad := parse(r)
		if bad == nil && (p.Presented.Bearer == "" || len(p.Targets) != 1 || strings.ContainsAny(p.Presented.Bearer, " ,\t")) {
			t.Errorf("accepted %q %q as %+v", authorization, body, p.Targets)
		}
	})
}
