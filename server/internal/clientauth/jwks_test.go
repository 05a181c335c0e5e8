package clientauth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keysets"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// publisher is a service that publishes keys.
type publisher struct {
	*httptest.Server
	asked  atomic.Int32
	answer atomic.Pointer[http.HandlerFunc]
}

func newPublisher(t *testing.T) *publisher {
	p := &publisher{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.asked.Add(1)
		(*p.answer.Load())(w, r)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *publisher) serve(h http.HandlerFunc) { p.answer.Store(&h) }

func (p *publisher) publish(signers ...*jose.Signer) { p.serve(text(keySetOf(signers...))) }

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
}

func keySetOf(signers ...*jose.Signer) string {
	var keys []jose.PublicKey
	for _, s := range signers {
		keys = append(keys, s.Public())
	}
	return string(jose.NewKeySet(keys...).JSON())
}

func signerFor(t *testing.T, id string, alg jose.Algorithm) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(id, alg, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// published is a service whose keys are at an address, and the clock.
type published struct {
	t      *testing.T
	method *privateKey
	state  directory.State
	now    time.Time
}

func newPublished(t *testing.T, address string, networks []netip.Prefix) *published {
	now := time.Unix(1_800_000_000, 0)
	return &published{
		t: t, now: now, method: newPrivateKey(Options{Issuer: "https://as.test", JWKSNetworks: networks}),
		state: directory.State{
			Services:    []directory.Service{{UID: directory.UID{5}, Name: "m5"}},
			Credentials: []directory.Credential{{ID: "c", Service: directory.UID{5}, Kind: directory.KindJWKS, Material: address, ExpiresAt: now.Add(1000 * time.Hour)}},
		},
	}
}

// ask is "" when an assertion of s is good, else why not.
func (b *published) ask(s *jose.Signer) string {
	b.t.Helper()
	token, err := s.Sign("", fmt.Appendf(nil, `{"iss":"m5","sub":"m5","aud":"https://as.test","exp":%d,"jti":"a"}`, b.now.Unix()+60))
	if err != nil {
		b.t.Fatal(err)
	}
	_, f := b.method.Authenticate(b.t.Context(), &Presented{Assertion: token}, directory.NewSnapshot(&b.state, time.Hour), b.now)
	switch {
	case f == nil:
		return ""
	case (f.Kind == Away) != (f.Reason == "keys_unavailable") || (f.Kind == Away) != (f.Cause != nil):
		b.t.Errorf("kind %d with reason %s and cause %v", f.Kind, f.Reason, f.Cause)
	}
	return f.Reason
}

func (b *published) want(name string, s *jose.Signer, want string) {
	b.t.Helper()
	if got := b.ask(s); got != want {
		b.t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

func TestPublishedKeysAreFetchedOnceAndAgainWhenTheyChange(t *testing.T) {
	p, first, second := newPublisher(t), signerFor(t, "first", jose.ES256), signerFor(t, "second", jose.EdDSA)
	p.publish(first)
	b := newPublished(t, p.URL, loopback)
	asked := func(want int32) {
		t.Helper()
		if got := p.asked.Load(); got != want {
			t.Errorf("asked %d times, want %d", got, want)
		}
	}
	for range 10 {
		b.want("the key", first, "")
	}
	asked(1)
	b.want("an unknown key, at once", second, "unknown_key")
	asked(1)
	p.publish(second)
	b.now = b.now.Add(keysets.Refetch)
	for range 10 {
		b.want("a new key", second, "")
		b.want("a key that is gone", first, "unknown_key")
	}
	asked(2)
	b.now = b.now.Add(keysets.Fresh)
	b.want("after a while", second, "")
	asked(3)
	b.state.Credentials[0].RevokedAt = b.now
	b.now = b.now.Add(keysets.Fresh)
	b.want("a credential that is revoked", second, "unknown_key")
	asked(3)
}

// A key that the service withdrew is good for keysets.Fresh at most.
func TestWithdrawnKeyIsNotUsedLonger(t *testing.T) {
	p, s := newPublisher(t), signerFor(t, "first", jose.ES256)
	p.publish(s)
	b := newPublished(t, p.URL, loopback)
	b.want("the key", s, "")
	p.publish()
	b.now = b.now.Add(keysets.Fresh - time.Second)
	b.want("a moment before", s, "")
	b.now = b.now.Add(time.Second)
	b.want("then", s, "unknown_key")
}

func TestOldKeysAreUsedWhileTheirPublisherIsAway(t *testing.T) {
	p, s := newPublisher(t), signerFor(t, "first", jose.ES256)
	p.serve(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	b := newPublished(t, p.URL, loopback)
	b.want("never there", s, "keys_unavailable")
	p.publish(s)
	b.want("there, but just asked", s, "keys_unavailable")
	b.now = b.now.Add(keysets.ClientRetry)
	b.want("asked again", s, "")
	p.Close()
	b.now = b.now.Add(keysets.Stale)
	b.want("away for a day", s, "")
	b.now = b.now.Add(keysets.Refetch)
	b.want("away for longer", s, "keys_unavailable")
}

func TestManyAtOnceFetchOnce(t *testing.T) {
	p, s := newPublisher(t), signerFor(t, "first", jose.ES256)
	b := newPublished(t, p.URL, loopback)
	arrived, open := make(chan struct{}, 1), make(chan struct{})
	p.serve(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-open
		text(keySetOf(s))(w, r)
	})
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { b.want("one of many", s, "") })
	}
	<-arrived
	close(open)
	wg.Wait()
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

// RFC 7517, section 5. PKJ-045.
func TestKeysThatCannotBeUsedArePassedOver(t *testing.T) {
	p, s := newPublisher(t), signerFor(t, "k", jose.ES256)
	decoy := signerFor(t, "k", jose.EdDSA)
	mine, theirs := strings.TrimSuffix(strings.TrimPrefix(keySetOf(s), `{"keys":[`), `]}`), strings.TrimSuffix(strings.TrimPrefix(keySetOf(decoy), `{"keys":[`), `]}`)
	p.serve(text(`{"keys":[{"kty":"oct","k":"AAAA","kid":"k"},{"kty":"new"},{"kty":"EC","crv":"P-256","x":"a","y":"b","kid":"k"},` +
		strings.Replace(mine, `"use":"sig"`, `"use":"enc"`, 1) + `,` + theirs + `,` + mine + `]}`))
	b := newPublished(t, p.URL, loopback)
	b.want("the key among decoys", s, "")
	b.want("the decoy of another algorithm, which is the service's too", decoy, "")
}

// FED-011 and its fellows: what is fetched is small, here, soon, and from where it may be.
func TestFetchingIsBounded(t *testing.T) {
	s := signerFor(t, "k", jose.ES256)
	p := newPublisher(t)
	elsewhere := newPublisher(t)
	elsewhere.publish(s)
	for name, h := range map[string]http.HandlerFunc{
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"too long":   text(keySetOf(s) + strings.Repeat(" ", keysets.ClientLimit)),
		"no keys":    text(`{}`),
		"no JSON":    text(`<html>`),
		"not found":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
	} {
		p.serve(h)
		newPublished(t, p.URL, loopback).want(name, s, "keys_unavailable")
	}
	if elsewhere.asked.Load() != 0 {
		t.Error("a redirect was followed")
	}
	p.publish(s)
	before := p.asked.Load()
	newPublished(t, p.URL, nil).want("loopback, not allowed", s, "keys_unavailable")
	newPublished(t, strings.Replace(p.URL, "127.0.0.1", "localhost", 1), nil).want("a name that leads to loopback", s, "keys_unavailable")
	newPublished(t, strings.Replace(p.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), nil).want("loopback in other words", s, "keys_unavailable")
	if p.asked.Load() != before {
		t.Error("an address that is not allowed was asked")
	}
}

func TestAFailureSaysWhatIsAway(t *testing.T) {
	cause := errors.New("connection refused")
	if f := (&Failure{Reason: "keys_unavailable", Kind: Away, Cause: cause}); !errors.Is(f, cause) || !strings.Contains(f.Error(), "connection refused") {
		t.Errorf("got %v", f)
	}
}

// F06. Assertions in the name of a service whose keys are slow to come do not take the places of other requests: a few
// wait, the rest is refused at once.
func TestFewWaitForSlowKeys(t *testing.T) {
	p, s := newPublisher(t), signerFor(t, "first", jose.ES256)
	release := make(chan struct{})
	p.serve(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprint(w, keySetOf(s))
	})
	b := newPublished(t, p.URL, loopback)
	const requests = 200
	answers := make(chan string, requests)
	for range requests {
		go func() { answers <- b.ask(s) }()
	}
	for range requests - keysets.MaxWaitingForOne {
		if got := <-answers; got != "keys_unavailable" { // while nothing has been fetched
			t.Errorf("got %q", got)
		}
	}
	close(release)
	for range keysets.MaxWaitingForOne {
		if got := <-answers; got != "" {
			t.Errorf("one that waited: got %q", got)
		}
	}
	b.want("afterwards", s, "")
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}
