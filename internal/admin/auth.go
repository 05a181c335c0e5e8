package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const challenge = `Bearer realm="watchword-admin"`

var (
	errNoToken    = newProblem(http.StatusUnauthorized, "no_token", "The operator token is missing. Send it as Authorization: Bearer <token>; the server keeps it in a file whose path it logs at the start.").with("WWW-Authenticate", challenge)
	errWrongToken = newProblem(http.StatusUnauthorized, "wrong_token", "This is not the operator token. Send the one from the server's operator token file; tokens of services open nothing here.").with("WWW-Authenticate", challenge+`, error="invalid_token"`)
	errGuessing   = newProblem(http.StatusTooManyRequests, "too_many_failures", "Too many requests without the operator token came from this address. Send the token from the server's operator token file, or wait.")
)

// authenticate answers nil for the operator.
//
// The token is compared before failures are counted: it has at least 32 characters, so
// that nobody finds it by trying, and a misconfigured job on the operator's own machine must
// not lock the operator out. What the limit protects is the audit log, in which every
// refusal is a record, and the disk under it.
func (a *api) authenticate(r *http.Request) *problem {
	token, ok := bearer(r)
	if ok && a.Token(token) {
		return nil
	}
	if wait := a.guesses.charge(clientOf(r)); wait > 0 {
		return errGuessing.with("Retry-After", fmt.Sprint(int64((wait+time.Second-1)/time.Second)))
	}
	if !ok {
		return errNoToken
	}
	return errWrongToken
}

// bearer is the token of the one Authorization header (RFC 6750, section 2.1).
func bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != ""
}

// Failures an address may make at once, and then one every refill.
const (
	guessBurst  = 20
	guessRefill = time.Second
	maxGuessers = 4096
)

// guesses counts failures to authenticate by address, in bounded memory: when there are more
// addresses than it remembers, the new ones share one count.
type guesses struct {
	now func() time.Time

	mu     sync.Mutex
	by     map[netip.Prefix]*rate.Limiter
	shared *rate.Limiter
	swept  time.Time
}

func newGuesses(now func() time.Time) *guesses {
	return &guesses{now: now, by: map[netip.Prefix]*rate.Limiter{}, shared: newBucket()}
}

func newBucket() *rate.Limiter { return rate.NewLimiter(rate.Every(guessRefill), guessBurst) }

// charge counts a failure of client. It answers how long client has to wait when it had too
// many already, else zero.
func (g *guesses) charge(client netip.Addr) time.Duration {
	now := g.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	bucket := g.bucket(client, now)
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return max(time.Duration(missing*float64(guessRefill)), 1)
}

func (g *guesses) bucket(client netip.Addr, now time.Time) *rate.Limiter {
	bits := client.BitLen()
	if client.Is6() {
		bits = 64 // one customer has at least so many addresses
	}
	key, _ := client.Prefix(bits)
	if b, ok := g.by[key]; ok {
		return b
	}
	if len(g.by) >= maxGuessers {
		g.sweep(now)
	}
	if len(g.by) >= maxGuessers {
		return g.shared
	}
	b := newBucket()
	g.by[key] = b
	return b
}

// sweep forgets addresses whose failures are forgiven, at most once a refill: it looks at all.
func (g *guesses) sweep(now time.Time) {
	if now.Sub(g.swept) < guessRefill {
		return
	}
	g.swept = now
	for key, b := range g.by {
		if b.TokensAt(now) >= guessBurst {
			delete(g.by, key)
		}
	}
}
