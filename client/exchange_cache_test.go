package client

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func exchanging(s *fakeServer) {
	s.answer = func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, `{"access_token":"x","token_type":"Bearer","expires_in":60,"issued_token_type":%q}`, typeAccessToken)
	}
}

// There is one question for each caller's token: as many as there are callers. They are bounded,
// end with the token, and do not push out what this service needs for itself.
func TestExchangedTokensAreBoundedAndLetGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{ttl: time.Hour}
		exchanging(s)
		c := newClient(t, s, endpoints["oauth"])
		mustToken(t, c.TokenSource("m2"))
		for i := range maxEntries + 100 {
			<-time.After(time.Millisecond) // so that this service's own is the one not used for longest
			mustToken(t, c.ExchangeSource(fmt.Sprint("token-", i), "m3"))
		}
		if len(c.entries) != maxEntries+1 || c.exchanged != maxEntries || c.own != 1 {
			t.Errorf("%d entries: %d exchanged, %d own", len(c.entries), c.exchanged, c.own)
		}
		<-time.After(40 * time.Second) // by now its own has been renewed
		before := len(s.requests())
		mustToken(t, c.ExchangeSource(fmt.Sprint("token-", maxEntries), "m3"))
		mustToken(t, c.TokenSource("m2"))
		if n := len(s.requests()) - before; n != 0 {
			t.Errorf("%d requests for what is kept", n)
		}
		<-time.After(19 * time.Second)
		s.set(false, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) })
		<-time.After(2 * time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.exchanged != 0 || c.own != 1 {
			t.Errorf("after their lifetime: %d exchanged, %d own", c.exchanged, c.own)
		}
	})
}

func TestRefusedExchangeIsLetGoToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{}
		s.answer = func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) }
		c := newClient(t, s, endpoints["oauth"])
		for range 3 {
			for i := range 10 {
				if _, err := c.ExchangeSource(fmt.Sprint("token-", i), "m3").Token(t.Context()); err == nil {
					t.Error("no refusal")
				}
			}
		}
		if n := len(s.requests()); n != 10 {
			t.Errorf("%d requests, want 10: refusals are kept", n)
		}
		<-time.After(denialKept + time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.entries) != 0 {
			t.Errorf("%d entries left", len(c.entries))
		}
	})
}
