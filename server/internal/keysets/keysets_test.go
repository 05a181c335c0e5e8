package keysets

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

func TestUploadedKeysAreNeverFetched(t *testing.T) {
	es, rs, other := signer(t, "es", jose.ES256), signer(t, "rs", jose.RS256), signer(t, "other", jose.ES256)
	s := New(ForPlatforms(nil))
	src := &Source{ID: "trust_1", Kind: Platform, Issuer: "https://issuer.test", JWKS: keySet(es, rs), Algorithms: []jose.Algorithm{jose.RS256, jose.ES256}}
	for range 2 {
		must(t, s.Verify(t.Context(), src, signed(t, es), start))
		must(t, s.Verify(t.Context(), src, signed(t, rs), start.Add(1000*time.Hour)))
		if err := s.Verify(t.Context(), src, signed(t, other), start); !errors.Is(err, jose.ErrUnknownKey) {
			t.Errorf("an unknown key: got %v", err)
		}
	}
	src = &Source{ID: "trust_1", Kind: Platform, JWKS: keySet(other), Algorithms: src.Algorithms}
	must(t, s.Verify(t.Context(), src, signed(t, other), start))
	if err := s.Verify(t.Context(), src, signed(t, es), start); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("a key that was replaced: got %v", err)
	}
}

func TestKeysAreDiscovered(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	p.discoverable(p.URL, p.URL+"/keys")
	p.publish("/keys", keySet(es))
	s := New(ForPlatforms(loopback))
	src := &Source{ID: "trust_1", Kind: Platform, Issuer: p.URL, Algorithms: []jose.Algorithm{jose.ES256}}
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	if n := p.asked.Load(); n != 2 {
		t.Errorf("asked %d times, want once for each document", n)
	}
}

// FED-013. However many tokens name random keys, the keys are fetched once in 30 seconds, and known keys go on working.
func TestRandomKeyIDsFetchOnceIn30Seconds(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	p.publish("/keys", keySet(es))
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	flood := func(now time.Time, want int32) {
		t.Helper()
		var wg sync.WaitGroup
		for worker := range 10 {
			wg.Go(func() {
				for i := range 100 {
					token := signed(t, es)
					token.KeyID = fmt.Sprint("random ", worker, i)
					if err := s.Verify(context.Background(), src, token, now); !errors.Is(err, jose.ErrUnknownKey) {
						t.Errorf("a random kid: got %v", err)
					}
				}
			})
		}
		wg.Wait()
		must(t, s.Verify(t.Context(), src, signed(t, es), now))
		if got := p.asked.Load(); got != want {
			t.Errorf("fetched %d times, want %d", got, want)
		}
	}
	flood(start, 1)
	flood(start.Add(Refetch-1), 1)
	flood(start.Add(Refetch), 2)
	p.page("/keys", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	flood(start.Add(2*Refetch), 3) // fails, and the keys at hand serve on
	flood(start.Add(3*Refetch-1), 3)
	flood(start.Add(3*Refetch), 4)
}

// FED-013. The first failure starts the cooldown, too.
func TestAFailedFirstFetchIsNotRepeatedFor30Seconds(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	for _, now := range []time.Time{start, start, start.Add(Refetch - 1)} {
		if err := s.Verify(t.Context(), src, signed(t, es), now); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	p.publish("/keys", keySet(es))
	must(t, s.Verify(t.Context(), src, signed(t, es), start.Add(Refetch)))
}

func TestCheckURL(t *testing.T) {
	for _, s := range []string{"https://m5.example/keys", "https://10.0.0.1:8443/a?b=c", "http://127.0.0.1:8000/keys", "http://[::1]/", "http://localhost/keys"} {
		if err := CheckURL(s); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
	for _, s := range []string{
		"", "/keys", "m5.example", "http://m5.example/keys", "http://10.0.0.1/keys", "https://user:pw@m5.example/", "https://m5.example/#x",
		"file:///etc/passwd", "https:m5.example", "https://", "ftp://m5.example/", "http://localhost.evil.example/", "https://m5.example/" + strings.Repeat("x", 3000),
	} {
		if CheckURL(s) == nil {
			t.Errorf("%s is taken", s)
		}
	}
}

func TestWaitingForKeysIsBoundedInAll(t *testing.T) {
	s := New(ForPlatforms(nil))
	var ends []func()
	for i := range 2 * MaxWaitingForAll {
		if end, ok := s.wait(fmt.Sprint(i)); ok {
			ends = append(ends, end)
		}
	}
	if len(ends) != MaxWaitingForAll || s.Waiting() != MaxWaitingForAll {
		t.Errorf("%d and %d wait, want %d", len(ends), s.Waiting(), MaxWaitingForAll)
	}
	for _, end := range ends {
		end()
	}
	if _, ok := s.wait("again"); !ok || len(s.waiting) != 1 {
		t.Errorf("afterwards: %v, %d sources", ok, len(s.waiting))
	}
}

// A key belongs to its issuer, whatever its kid: one issuer's key vouches for no token of another.
func TestKeysOfOneIssuerAreNotThoseOfAnother(t *testing.T) {
	p, mine, theirs := newServer(t), signer(t, "k", jose.ES256), signer(t, "k", jose.RS256)
	p.publish("/mine", keySet(mine))
	p.publish("/theirs", keySet(theirs))
	s, a, b := New(ForPlatforms(loopback)), platform(p.URL+"/mine"), platform(p.URL+"/theirs")
	b.ID = "trust_2"
	for range 2 {
		must(t, s.Verify(t.Context(), a, signed(t, mine), start))
		must(t, s.Verify(t.Context(), b, signed(t, theirs), start))
		for src, by := range map[*Source]*jose.Signer{a: theirs, b: mine} {
			if err := s.Verify(t.Context(), src, signed(t, by), start); !errors.Is(err, jose.ErrUnknownKey) {
				t.Errorf("the other's key: got %v", err)
			}
		}
	}
	// Not even when two sources have one id, by mistake: the keys are those of the source that is asked for.
	b.ID = a.ID
	if err := s.Verify(t.Context(), b, signed(t, mine), start); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("the keys of a source with other settings: got %v", err)
	}
}

// RFC 8725, section 3.1: the algorithms are those of the issuer, and each key is for its own.
func TestAlgorithmsAreThoseOfTheSource(t *testing.T) {
	es, rs := signer(t, "es", jose.ES256), signer(t, "rs", jose.RS256)
	s := New(ForPlatforms(nil))
	src := &Source{ID: "a", Kind: Platform, JWKS: keySet(es, rs), Algorithms: []jose.Algorithm{jose.RS256}}
	must(t, s.Verify(t.Context(), src, signed(t, rs), start))
	if err := s.Verify(t.Context(), src, signed(t, es), start); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("an algorithm that is not listed: got %v", err)
	}
	for _, alg := range []string{"none", "HS256", "", "rs256"} {
		token := signed(t, rs)
		token.Algorithm = alg
		if err := s.Verify(t.Context(), src, token, start); !errors.Is(err, jose.ErrAlgorithm) {
			t.Errorf("%q: got %v", alg, err)
		}
	}
}

// An operator changes the algorithms, and at that time the issuer is away.
func TestKeysRemainWhenTheAlgorithmsAreChanged(t *testing.T) {
	p, es, rs := newServer(t), signer(t, "es", jose.ES256), signer(t, "rs", jose.RS256)
	p.publish("/keys", keySet(es, rs))
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	src.Algorithms = []jose.Algorithm{jose.ES256}
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	if state := s.State(src); len(state.Keys) != 1 || state.Keys[0].ID != "es" {
		t.Errorf("a key is shown that verifies nothing: %+v", state.Keys)
	}
	p.page("/keys", nil)
	src.Algorithms = []jose.Algorithm{jose.RS256}
	must(t, s.Verify(t.Context(), src, signed(t, rs), start.Add(Refetch-1)))
	must(t, s.Verify(t.Context(), src, signed(t, rs), start.Add(Fresh)))
	if err := s.Verify(t.Context(), src, signed(t, es), start.Add(Fresh)); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("an algorithm that is not listed any more: got %v", err)
	}
	if state := s.State(src); len(state.Keys) != 1 || state.Keys[0].ID != "rs" || !state.Fetched.Equal(start) {
		t.Errorf("got %+v", state)
	}
	src.Algorithms = []jose.Algorithm{jose.ES512}
	if err := s.Verify(t.Context(), src, signed(t, es), start.Add(Fresh)); !errors.Is(err, jose.ErrAlgorithm) {
		t.Errorf("got %v", err)
	}
	uploaded := &Source{ID: "b", Kind: Platform, JWKS: keySet(es), Algorithms: src.Algorithms}
	if state := s.State(uploaded); len(state.Keys) != 0 || !strings.Contains(state.Error, "ES512") {
		t.Errorf("no key is for the algorithm: %+v", state)
	}
}

func TestOnlyKeysThatAreNamedAreTried(t *testing.T) {
	var all []*jose.Signer
	for i := range MaxKeysTried + 2 {
		all = append(all, signer(t, fmt.Sprint("k", i), jose.ES256))
	}
	s := New(ForPlatforms(nil))
	src := &Source{ID: "a", Kind: Platform, JWKS: keySet(all...), Algorithms: []jose.Algorithm{jose.ES256}}
	token := signed(t, all[1])
	token.KeyID = "k0"
	if err := s.Verify(t.Context(), src, token, start); !errors.Is(err, jose.ErrSignature) {
		t.Errorf("another key's id: got %v", err)
	}
	for i, by := range all {
		must(t, s.Verify(t.Context(), src, signed(t, by), start))
		token := signed(t, by)
		token.KeyID = "" // RFC 7515, section 4.1.4: it may be absent
		if err, tried := s.Verify(t.Context(), src, token, start), i < MaxKeysTried; tried != (err == nil) || !tried && !errors.Is(err, jose.ErrSignature) {
			t.Errorf("key %d without kid: got %v, want it tried: %v", i, err, tried)
		}
	}
}

// A key that was withdrawn is used for Fresh at most.
func TestWithdrawnKeyIsNotUsedLongerThanFresh(t *testing.T) {
	p, old, next := newServer(t), signer(t, "old", jose.ES256), signer(t, "new", jose.ES256)
	p.publish("/keys", keySet(old))
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	must(t, s.Verify(t.Context(), src, signed(t, old), start))
	p.publish("/keys", keySet(next))
	must(t, s.Verify(t.Context(), src, signed(t, old), start.Add(Fresh-1)))
	if err := s.Verify(t.Context(), src, signed(t, old), start.Add(Fresh)); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("got %v", err)
	}
	must(t, s.Verify(t.Context(), src, signed(t, next), start.Add(Fresh)))
}

// A rotated key is accepted with the first token that names it, if keys were not fetched just before.
func TestNewKeyIsFetchedWhenATokenNamesIt(t *testing.T) {
	p, old, next := newServer(t), signer(t, "old", jose.ES256), signer(t, "new", jose.ES256)
	p.publish("/keys", keySet(old))
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	must(t, s.Verify(t.Context(), src, signed(t, old), start))
	p.publish("/keys", keySet(old, next))
	if err := s.Verify(t.Context(), src, signed(t, next), start.Add(Refetch-1)); !errors.Is(err, jose.ErrUnknownKey) {
		t.Errorf("got %v", err)
	}
	must(t, s.Verify(t.Context(), src, signed(t, next), start.Add(Refetch)))
	if n := p.asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

// The keys of a trust survive as many other sources as there may be, and those of sources that are gone do not stay.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	o := ForPlatforms(nil)
	o.Most = 100
	s := New(o)
	uploaded := func(i int) *Source {
		return &Source{ID: fmt.Sprint("trust_", i), Kind: Platform, JWKS: keySet(signer(t, "es", jose.ES256)), Algorithms: []jose.Algorithm{jose.ES256}}
	}
	in, most := uploaded(0), 0
	for i := range 10 * o.Most {
		must(t, s.Verify(t.Context(), uploaded(i), signed(t, signer(t, "es", jose.ES256)), start))
		if s.find(in) == nil { // which is also what uses it
			t.Fatalf("after %d others, a source in use is forgotten", i)
		}
		most = max(most, len(s.kept))
	}
	if most != o.Most {
		t.Errorf("%d sources were remembered, want %d", most, o.Most)
	}
	must(t, s.Verify(t.Context(), uploaded(-1), signed(t, signer(t, "es", jose.ES256)), start.Add(Stale+1)))
	if len(s.kept) != 1 {
		t.Errorf("%d sources that nobody asked for in a day are remembered", len(s.kept)-1)
	}
}

func TestStateShowsWhatIsKnown(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
	if state := s.State(src); !state.Tried.IsZero() || state.Error != "" || p.asked.Load() != 0 {
		t.Errorf("before: %+v", state)
	}
	isIn(t, s.Refresh(t.Context(), src, start), "answered 404")
	if state := s.State(src); !strings.Contains(state.Error, "answered 404") || !state.Fetched.IsZero() || !state.Tried.Equal(start) {
		t.Errorf("after a failure: %+v", state)
	}
	rsa := strings.Replace(keySet(signer(t, "rs", jose.RS256)), `"alg":"RS256",`, "", 1)
	p.publish("/keys", strings.TrimSuffix(rsa, `]}`)+","+strings.TrimPrefix(keySet(es), `{"keys":[`))
	now := start.Add(Refetch)
	must(t, s.Refresh(t.Context(), src, now))
	state := s.State(src)
	thumbprint, err := jose.Thumbprint(es.Public().Key)
	must(t, err)
	if len(state.Keys) != 2 || len(state.Keys[0].Algorithms) != 6 || state.Keys[0].ID != "rs" || state.Keys[1].Thumbprint != thumbprint ||
		state.Error != "" || !state.Fetched.Equal(now) {
		t.Errorf("with keys: %+v", state)
	}
	must(t, s.Refresh(t.Context(), src, now.Add(Refetch-1)))
	if n := p.asked.Load(); n != 2 {
		t.Errorf("asked %d times: Refresh does not wait", n)
	}
	uploaded := &Source{ID: "b", Kind: Platform, JWKS: keySet(es), Algorithms: src.Algorithms}
	if state := s.State(uploaded); len(state.Keys) != 1 || !state.Fetched.IsZero() || state.Error != "" {
		t.Errorf("uploaded: %+v", state)
	}
	uploaded.JWKS = `{"keys":[]}`
	if state := s.State(uploaded); !strings.Contains(state.Error, "empty") {
		t.Errorf("uploaded without keys: %+v", state)
	}
}

// What an operator uploads is shown with what is wrong with it, before any token is.
func TestStateShowsWhatIsWrongWithUploadedKeys(t *testing.T) {
	es := keySet(signer(t, "es", jose.ES256))
	for name, c := range map[string]struct {
		src  Source
		want string
	}{
		"no key":          {Source{Kind: Platform, JWKS: `{"keys":[]}`}, "empty"},
		"no key set":      {Source{Kind: Platform, JWKS: `{"kty":"EC"}`}, `no member "keys"`},
		"a private key":   {Source{Kind: Platform, JWKS: strings.Replace(es, `"kty"`, `"d":"AAAA","kty"`, 1)}, "private"},
		"no authorities":  {Source{Kind: SPIFFE, Authorities: "x"}, "PEM"},
		"nothing":         {Source{Kind: SPIFFE, Issuer: "spiffe://a.test"}, "give the URL"},
		"a key set":       {Source{Kind: Platform, JWKS: es}, ""},
		"an empty bundle": {Source{Kind: SPIFFE, JWKS: `{"keys":[]}`}, ""},
	} {
		c.src.Algorithms = jose.PlatformAlgorithms()
		s := New(ForPlatforms(nil))
		got := s.State(&c.src).Error
		if !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
			t.Errorf("%s: got %q, want an error with %q", name, got, c.want)
		}
		if err := s.Refresh(t.Context(), &c.src, start); (err == nil) != (got == "") || err != nil && !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Whatever is read, its keys can verify.
func FuzzRead(f *testing.F) {
	for _, alg := range []jose.Algorithm{jose.ES256, jose.EdDSA, jose.RS256} {
		set := keySet(signer(f, "k", alg))
		f.Add([]byte(set), byte(Platform))
		f.Add([]byte(strings.Replace(set, `"use":"sig"`, `"use":"jwt-svid"`, 1)), byte(SPIFFE))
	}
	f.Add([]byte(`{"keys":[{"use":"x509-svid","kty":"EC","x5c":["AAAA"]}],"spiffe_sequence":-1,"spiffe_refresh_hint":9223372036854775807}`), byte(SPIFFE))
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		src := &Source{Kind: Kind(kind % 3), JWKS: string(b), Algorithms: jose.PlatformAlgorithms()}
		if src.Kind == Client || len(b) == 0 {
			return
		}
		c, err := read(src, b, true)
		if (c == nil) == (err == nil) {
			t.Fatalf("got %v and %v", c, err)
		}
		if err != nil {
			return
		}
		for _, k := range c.keys {
			if _, err := k.JWK(); err != nil {
				t.Fatal(err)
			}
		}
		if fresh := c.fresh(ForPlatforms(nil)); fresh < Refetch || fresh > Fresh {
			t.Fatalf("it serves for %s", fresh)
		}
	})
}
