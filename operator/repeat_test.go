package operator_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
)

// broken stands before the server and loses answers, after the server has carried out the requests.
type broken struct {
	http.Handler
	mu   sync.Mutex
	lose int // so many more answers
	keys []string
}

func (b *broken) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.keys = append(b.keys, r.Header.Get("Idempotency-Key"))
	lose := b.lose > 0
	b.lose--
	b.mu.Unlock()
	if lose {
		b.Handler.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // closes the connection
	}
	b.Handler.ServeHTTP(w, r)
}

// F86: if the connection breaks before the answer arrives, a method that creates something repeats its request, and the
// server carries it out once. The secret of the answer is that of the one credential that there is.
func TestLostAnswerIsFetchedAgain(t *testing.T) {
	target, err := url.Parse(adminURL)
	if err != nil {
		t.Fatal(err)
	}
	b := &broken{Handler: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}, lose: 2}
	proxy := httptest.NewServer(b)
	defer proxy.Close()
	c, err := operator.New(proxy.URL, token)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := c.CreateService(ctx, api.NewService{Name: "repeated"}); err != nil {
		t.Fatal(err)
	}
	if len(b.keys) != 3 || b.keys[0] == "" || b.keys[0] != b.keys[1] || b.keys[1] != b.keys[2] {
		t.Errorf("the keys were %q", b.keys)
	}
	b.lose = 1
	issued, err := c.CreateCredential(ctx, "repeated", api.NewCredential{Kind: api.KindSecret})
	if err != nil || issued.Secret == "" {
		t.Fatalf("got %+v, %v", issued, err)
	}
	all, err := operator.Collect(c.Credentials(ctx, "repeated"))
	if err != nil || len(all) != 1 || all[0].ID != issued.Credential.ID {
		t.Errorf("there are %v, %v", all, err)
	}
	if last := b.keys[len(b.keys)-2]; last == b.keys[0] {
		t.Error("two requests had one key")
	}
	// The caller decides how long it is tried.
	b.lose = 1 << 30
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.CreateCredential(ctx, "repeated", api.NewCredential{}); err == nil {
		t.Error("no error")
	}
}
