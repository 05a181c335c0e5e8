package endpoint

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
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
