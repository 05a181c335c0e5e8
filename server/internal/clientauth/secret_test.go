package clientauth_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

func secretCredential(id, secret string) directory.Credential {
	return directory.Credential{ID: id, Kind: directory.KindSecret, Material: clientauth.HashSecret(pepper, secret)}
}

func basic(id, secret string) clientauth.Presented {
	return clientauth.Presented{Basic: &clientauth.Secret{ClientID: id, Secret: secret}}
}

func post(id, secret string) clientauth.Presented {
	return clientauth.Presented{ClientID: id, Post: secret}
}

func TestSecretProvesItsService(t *testing.T) {
	b := newBench(t)
	secret := clientauth.NewSecret()
	b.service("m1", secretCredential("first", secret))
	b.service("m2", secretCredential("second", clientauth.NewSecret()))
	if id := b.want("Basic", basic("m1", secret), "m1", "first"); id.Method != api.ClientSecretBasic || len(id.Once) != 0 {
		t.Errorf("Basic: got method %s, once %v", id.Method, id.Once)
	}
	if id := b.want("post", post("m1", secret), "m1", "first"); id.Method != api.ClientSecretPost {
		t.Errorf("post: got method %s", id.Method)
	}
	p := basic("m1", secret)
	p.ClientID = "m1" // CAU-008.
	b.want("Basic, and client_id too", p, "m1", "first")
	p.ClientID = "m2" // CAU-007.
	b.wantNot("Basic, and another's client_id", p, clientauth.Refused, "client_id_mismatch")
	b.wantNot("another's secret", basic("m2", secret), clientauth.Refused, "wrong_secret")
}

// CAU-003: all that may be told of a failure is the same; the audit log knows more.
func TestUnknownClientAndWrongSecretLookAlike(t *testing.T) {
	b := newBench(t)
	b.service("m1", secretCredential("first", clientauth.NewSecret()))
	b.service("m5")
	for _, as := range []func(id, secret string) clientauth.Presented{basic, post} {
		b.wantNot("wrong secret", as("m1", "guess"), clientauth.Refused, "wrong_secret")
		b.wantNot("a client without secrets", as("m5", "guess"), clientauth.Refused, "wrong_secret")
		b.wantNot("unknown client", as("zz", "guess"), clientauth.Refused, "unknown_service")
		b.wantNot("no client", as("", "guess"), clientauth.Refused, "unknown_service")
	}
	snapshot := directory.NewSnapshot(&b.state, time.Hour)
	work := func(client string) float64 {
		p := basic(client, "another guess")
		p.Address = away
		return testing.AllocsPerRun(10, func() { b.auth.Authenticate(t.Context(), &p, snapshot, b.now) })
	}
	if wrong, unknown := work("m1"), work("zz"); wrong != unknown {
		t.Errorf("a wrong secret takes %v allocations, an unknown client %v", wrong, unknown)
	}
}

// CAU-002: nothing that proves anything.
func TestClientIDAloneProvesNothing(t *testing.T) {
	b := newBench(t)
	b.service("m1", secretCredential("first", clientauth.NewSecret()))
	b.wantNot("nothing", clientauth.Presented{}, clientauth.Missing, "no_credential")
	b.wantNot("client_id only", post("m1", ""), clientauth.Missing, "no_credential") // CAU-025.
}

// CAU-005, CAU-006.
func TestTwoProofsAreRefused(t *testing.T) {
	b := newBench(t)
	secret := clientauth.NewSecret()
	b.service("m1", secretCredential("first", secret))
	p := basic("m1", secret)
	p.ClientID, p.Post = "m1", secret
	b.wantNot("Basic and post", p, clientauth.Malformed, "two_methods")
}

// CAU-012, CAU-013: exactly these bytes, all of them.
func TestSecretIsComparedWhole(t *testing.T) {
	b := newBench(t)
	secret := strings.Repeat("0123456789", 8)
	b.service("m1", secretCredential("first", secret))
	b.want("all 80 bytes", basic("m1", secret), "m1", "first")
	for _, s := range []string{
		secret[:72], secret + "x", secret + " ", secret + "\n", secret + "\x00", " " + secret, "", strings.ToUpper(secret) + "A",
	} {
		b.wantNot(fmt.Sprintf("%q", s), basic("m1", s), clientauth.Refused, "wrong_secret")
	}
	b = newBench(t)
	b.service("m1", secretCredential("first", "wws_AbC"))
	b.wantNot("in capitals", basic("m1", "WWS_ABC"), clientauth.Refused, "wrong_secret")
	b.state.Credentials[0].Kind = directory.KindKey
	b.wantNot("held against a credential of another kind", basic("m1", "wws_AbC"), clientauth.Refused, "wrong_secret")
	b.state.Credentials[0].Kind = directory.KindSecret
	b.wantNot("the stored hash", basic("m1", clientauth.HashSecret(pepper, "wws_AbC")), clientauth.Refused, "wrong_secret")
}

// CAU-016: several at a time, each with dates and a network of its own.
func TestSecretsOverlap(t *testing.T) {
	b := newBench(t)
	old, next, gone, pinned := "old", "next", "gone", "pinned"
	m1 := b.service("m1")
	c := secretCredential("1", old)
	c.ExpiresAt = b.now.Add(time.Hour)
	b.credential(m1, c)
	c = secretCredential("2", next)
	c.NotBefore, c.ExpiresAt = b.now.Add(time.Minute), b.now.Add(24*time.Hour)
	b.credential(m1, c)
	c = secretCredential("3", gone)
	c.RevokedAt = b.now
	b.credential(m1, c)
	c = secretCredential("4", pinned)
	c.CIDR = netip.MustParsePrefix("192.0.2.0/24")
	b.credential(m1, c)

	b.want("the old one", basic("m1", old), "m1", "1")
	if f := b.wantNot("the next one, too early", basic("m1", next), clientauth.Refused, "not_yet_valid"); f.CredentialID != "2" {
		t.Errorf("the audit log is told of credential %q, want 2", f.CredentialID)
	}
	b.wantNot("a revoked one", basic("m1", gone), clientauth.Refused, "revoked")
	b.want("a pinned one", basic("m1", pinned), "m1", "4")
	p := basic("m1", pinned)
	p.Address = away
	b.wantNot("a pinned one from elsewhere", p, clientauth.Refused, "address_not_allowed")
	b.now = b.now.Add(time.Minute)
	b.want("the old one in the overlap", basic("m1", old), "m1", "1")
	b.want("the next one in the overlap", basic("m1", next), "m1", "2")
	b.now = b.now.Add(time.Hour - time.Minute)
	b.wantNot("the old one after the overlap", basic("m1", old), clientauth.Refused, "expired")
	b.want("the next one after the overlap", basic("m1", next), "m1", "2")
}

// CAU-015: a service made again under the same name has no secret of the one before.
func TestSecretsAreOfAServiceNotOfAName(t *testing.T) {
	b := newBench(t)
	b.service("m1", secretCredential("first", "secret"))
	b.state.Services[0].UID = directory.UID{9}
	b.wantNot("the old secret", basic("m1", "secret"), clientauth.Refused, "wrong_secret")
}

// CAU-017: the methods a service accepts are binding.
func TestServiceThatDoesNotAcceptSecretsHasNone(t *testing.T) {
	b := newBench(t)
	b.service("m5", secretCredential("first", "secret"))
	b.edit("m5", func(s *directory.Service) { s.AuthMethods = []string{api.PrivateKeyJWT} })
	b.wantNot("the right secret", basic("m5", "secret"), clientauth.Refused, "method_not_accepted")
	b.edit("m5", func(s *directory.Service) { s.AuthMethods = []string{api.ClientSecretPost} })
	b.wantNot("in the wrong way", basic("m5", "secret"), clientauth.Refused, "method_not_accepted")
	b.want("in the right way", post("m5", "secret"), "m5", "first")
}

func TestWithoutPepperThereAreNoSecrets(t *testing.T) {
	b := newBench(t, func(o *clientauth.Options) { o.Pepper = nil })
	b.service("m1", directory.Credential{Kind: directory.KindSecret, Material: clientauth.HashSecret(nil, "secret")})
	b.wantNot("the secret", basic("m1", "secret"), clientauth.Missing, "no_credential")
}

// CAU-020.
func TestGuessingIsHeldBackForTheClientAndItsAddressOnly(t *testing.T) {
	b := newBench(t)
	b.service("m1", secretCredential("first", "right"))
	b.service("m2", secretCredential("second", "right too"))
	kinds := map[clientauth.FailureKind]int{}
	for i := range 100 {
		p := basic("m1", fmt.Sprint("guess ", i))
		if i%2 == 1 {
			p = post("m1", fmt.Sprint("guess ", i))
		}
		_, f := b.ask(p)
		kinds[f.Kind]++
		if f.Kind == clientauth.Throttled && (f.RetryAfter <= 0 || f.RetryAfter > time.Minute) {
			t.Fatalf("guess %d: retry after %s", i, f.RetryAfter)
		}
	}
	if kinds[clientauth.Refused] != 20 || kinds[clientauth.Throttled] != 80 {
		t.Errorf("got %v, want 20 refused and 80 throttled", kinds)
	}
	b.wantNot("the right secret, never seen from here", basic("m1", "right"), clientauth.Throttled, "throttled")
	elsewhere := basic("m1", "right")
	elsewhere.Address = away
	b.want("m1 from another address", elsewhere, "m1", "first")
	b.want("another client from this address", basic("m2", "right too"), "m2", "second")
	for range 100 { // what is unknown is held back alike (CAU-003)
		_, f := b.ask(basic("zz", "guess"))
		kinds[f.Kind]++
	}
	if kinds[clientauth.Refused] != 40 || kinds[clientauth.Throttled] != 160 {
		t.Errorf("got %v with an unknown client, want 40 refused and 160 throttled", kinds)
	}
	b.now = b.now.Add(time.Second)
	b.want("m1 after a while", basic("m1", "right"), "m1", "first")
}

// Behind one proxy all have one address: nobody there can keep another from its tokens.
func TestSecretThatWasRightIsNotHeldBackForTheGuessesOfOthers(t *testing.T) {
	b := newBench(t)
	b.service("m1", secretCredential("first", "right"))
	b.want("before", basic("m1", "right"), "m1", "first")
	for range 100 {
		b.ask(basic("m1", "guess"))
	}
	b.wantNot("a guess", basic("m1", "guess"), clientauth.Throttled, "throttled")
	b.want("the right one", basic("m1", "right"), "m1", "first")
	b.want("the right one in the other way", post("m1", "right"), "m1", "first")
	b.state.Credentials[0].RevokedAt = b.now
	b.wantNot("the right one, revoked", basic("m1", "right"), clientauth.Throttled, "revoked")
}

func TestGuessesAtOnceAreAllCounted(t *testing.T) {
	b := newBench(t)
	b.service("m1", secretCredential("first", "right"))
	s := directory.NewSnapshot(&b.state, time.Hour)
	var wg sync.WaitGroup
	var mu sync.Mutex
	refused := 0
	for range 300 {
		wg.Go(func() {
			p := basic("m1", "guess")
			p.Address = home
			if _, f := b.auth.Authenticate(t.Context(), &p, s, b.now); f.Kind == clientauth.Refused {
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if refused != 20 {
		t.Errorf("%d of 300 guesses at once were told that they are wrong, want 20", refused)
	}
}

func TestNewSecretsAreLongAndNeedNoEncoding(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		s := clientauth.NewSecret()
		if len(s) != 47 || !strings.HasPrefix(s, "wws_") || url.QueryEscape(s) != s || seen[s] {
			t.Fatalf("got %q", s)
		}
		seen[s] = true
	}
	if clientauth.HashSecret(pepper, "a") == clientauth.HashSecret([]byte("other"), "a") || len(clientauth.HashSecret(pepper, "a")) != 64 {
		t.Error("the hash does not depend on the pepper")
	}
}

func TestParseBasic(t *testing.T) {
	encode := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	id, secret := "a:b/ c+%", "s:+% ä"
	for header, want := range map[string]clientauth.Secret{
		"Basic " + encode("m1:wws_a-b"):                                    {ClientID: "m1", Secret: "wws_a-b"},
		"bAsIc " + encode("m1:s"):                                          {ClientID: "m1", Secret: "s"}, // CAU-011.
		"Basic  " + encode("m1:s") + " ":                                   {ClientID: "m1", Secret: "s"}, // CAU-011.
		"Basic " + encode("m1:a:b"):                                        {ClientID: "m1", Secret: "a:b"},
		"Basic " + encode("m1:"):                                           {ClientID: "m1"},
		"Basic " + encode(url.QueryEscape(id)+":"+url.QueryEscape(secret)): {ClientID: id, Secret: secret}, // CAU-009.
		"Basic " + encode("a%3Ab%2F%20c%2B%25:x"):                          {ClientID: id, Secret: "x"},
	} {
		if got, err := clientauth.ParseBasic(header); err != nil || *got != want {
			t.Errorf("%q: got %v, %v, want %v", header, got, err, want)
		}
	}
	// CAU-010.
	for header, want := range map[string]error{
		"":                               clientauth.ErrNotBasic,
		"Bearer " + encode("m1:s"):       clientauth.ErrNotBasic,
		"Basicx " + encode("m1:s"):       clientauth.ErrNotBasic,
		"Basic":                          clientauth.ErrBasic,
		"Basic ":                         clientauth.ErrBasic,
		"Basic m1:s":                     clientauth.ErrBasic,
		"Basic " + encode("m1"):          clientauth.ErrBasic,
		"Basic " + encode("m1:100%"):     clientauth.ErrBasic,
		"Basic " + encode("m1:%zz"):      clientauth.ErrBasic,
		"Basic " + encode("m1:\xff"):     clientauth.ErrBasic,
		"Basic " + encode("m1:%ff"):      clientauth.ErrBasic,
		"Basic " + encode("m1:s") + "\n": clientauth.ErrBasic,
		"Basic " + strings.TrimRight(encode("m1:s1"), "="): clientauth.ErrBasic,
		"Basic bTE6czF=":                         clientauth.ErrBasic, // bits after m1:s1
		"Basic " + encode("m1:s") + ", Bearer x": clientauth.ErrBasic,
	} {
		if got, err := clientauth.ParseBasic(header); !errors.Is(err, want) {
			t.Errorf("%q: got %v, %v, want %v", header, got, err, want)
		}
	}
}

// CAU-010: no header makes a crash, and what is read is what was written.
func FuzzBasicAuth(f *testing.F) {
	for _, s := range []string{"m1:s", "m1", ":", "a%3Ab:c+d", "%:%", "m1:\xff", "m1:\x00"} {
		f.Add("Basic " + base64.StdEncoding.EncodeToString([]byte(s)))
	}
	f.Add("Basic")
	f.Add("basic  =\r\n")
	f.Fuzz(func(t *testing.T, header string) {
		got, err := clientauth.ParseBasic(header)
		if err != nil {
			return
		}
		pair := url.QueryEscape(got.ClientID) + ":" + url.QueryEscape(got.Secret)
		again, err := clientauth.ParseBasic("Basic " + base64.StdEncoding.EncodeToString([]byte(pair)))
		if err != nil || *again != *got {
			t.Errorf("%q: got %q, and written again %q, %v", header, got, again, err)
		}
	})
}

func BenchmarkSecret(b *testing.B) {
	bench := newBench(b)
	bench.service("m1", secretCredential("first", "right"))
	s := directory.NewSnapshot(&bench.state, time.Hour)
	for name, secret := range map[string]string{"right": "right", "wrong": "wrong"} {
		b.Run(name, func(b *testing.B) {
			p := basic("m1", secret)
			p.Address = home
			b.ReportAllocs()
			for b.Loop() {
				bench.auth.Authenticate(b.Context(), &p, s, bench.now)
			}
		})
	}
}
