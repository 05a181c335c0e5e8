// Package verify checks, on the called side, the access tokens that Watchword issues: who
// calls, and whether the token is for this service. It does so by itself, with the public keys
// the authorization server publishes; it asks nobody about a single token. It does not know
// who may call whom: that was decided when the token was issued.
//
// A service protects its handlers in a few lines:
//
//	v, err := verify.New(ctx, verify.Config{
//		Issuer:   "auth-server",
//		Audience: "m2", // this service's own name
//		JWKSURL:  "http://localhost:8000/.well-known/jwks.json",
//	})
//	if err != nil {
//		return err
//	}
//	http.Handle("/hello", v.Middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
//		fmt.Fprintln(w, "hello,", verify.ClaimsFrom(r.Context()).Subject)
//	})))
package verify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// How far clocks may differ before a token is refused.
const (
	DefaultLeeway = 10 * time.Second
	MaxLeeway     = time.Minute // FAPI 2.0 Security Profile, section 5.3.2.1
)

// Config says what to expect of a token. Issuer, Audience and one of JWKSURL and Keys are
// required; the rest has defaults.
type Config struct {
	// Issuer is the exact iss of tokens: "auth-server" for tokens of Watchword's plain door.
	Issuer string
	// Audience is the exact aud of tokens: the name of this service.
	Audience string
	// JWKSURL is where the authorization server publishes its keys.
	JWKSURL string
	// Keys is a JWK Set document to use instead, for tests and for machines without a network.
	Keys []byte

	// Algorithms accepted. Nil: ES256, PS256, EdDSA and RS256, all that Watchword signs with.
	// A key verifies under its own algorithm only, whatever is accepted here.
	Algorithms []string
	// Leeway for clocks that differ. Zero: DefaultLeeway; negative: none; at most MaxLeeway.
	Leeway time.Duration
	// CacheFile keeps the key set across restarts, so that a service that restarts while the
	// authorization server is away can go on for as long as one that runs. Empty: no file.
	// Who can write the file decides which tokens are genuine.
	CacheFile string
	// AllowHTTP accepts an http JWKSURL that is not on this machine. Who can change traffic on
	// the way then decides which tokens are genuine.
	AllowHTTP bool
	// HTTPClient fetches keys. Redirects to another host are refused whatever it says.
	HTTPClient *http.Client
	// Realm of challenges. Empty: "watchword".
	Realm string
	// Logger hears of key sets that cannot be fetched. Nil: slog.Default.
	Logger *slog.Logger
	// Now is the clock tokens are held against. Nil: time.Now.
	Now func() time.Time
}

// Verifier verifies tokens for one audience. It is safe for concurrent use, and needs no
// closing: it has no goroutine but, for seconds at a time, one that fetches keys.
type Verifier struct {
	issuer, audience, realm string
	algorithms              []jose.Algorithm
	leeway                  time.Duration
	now                     func() time.Time
	keys                    *keySource
	seen                    tokenCache
}

// New makes a Verifier. Its only errors are those of the Config.
//
// New fetches the keys at once, so that the first request does not wait and a wrong JWKSURL
// shows in the log at start. When that fails, or ctx ends before, it is no error: the
// authorization server may start later than this service, and Verify tries again.
func New(ctx context.Context, c Config) (*Verifier, error) {
	v, err := c.verifier()
	if err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	v.keys.warmUp(ctx)
	return v, nil
}

func (c Config) verifier() (*Verifier, error) {
	v := &Verifier{issuer: c.Issuer, audience: c.Audience, realm: c.Realm, leeway: c.Leeway, now: c.Now}
	var problems [3]error
	v.algorithms, problems[0] = c.algorithms()
	v.keys, problems[1] = newKeySource(c)
	problems[2] = c.check()
	if err := errors.Join(problems[:]...); err != nil {
		return nil, err
	}
	if v.leeway == 0 {
		v.leeway = DefaultLeeway
	}
	v.leeway = max(v.leeway, 0)
	if v.realm == "" {
		v.realm = "watchword"
	}
	if v.now == nil {
		v.now = time.Now
	}
	return v, nil
}

// check: an expectation left empty is an error, never "expect anything".
func (c Config) check() error {
	var problems []error
	if c.Issuer == "" {
		problems = append(problems, errors.New(`Config.Issuer is empty: set it to the iss of your tokens, "auth-server" unless configured otherwise`))
	}
	if c.Audience == "" {
		problems = append(problems, errors.New("Config.Audience is empty: set it to the name of this service, as registered with the authorization server"))
	}
	if c.Leeway > MaxLeeway {
		problems = append(problems, fmt.Errorf("Config.Leeway is %v: at most %v; synchronise the clocks instead", c.Leeway, MaxLeeway))
	}
	if !isQuotable(c.Realm) {
		problems = append(problems, errors.New(`Config.Realm: use printable ASCII without " and \`))
	}
	return errors.Join(problems...)
}

func (c Config) algorithms() ([]jose.Algorithm, error) {
	if c.Algorithms == nil {
		return []jose.Algorithm{jose.ES256, jose.PS256, jose.EdDSA, jose.RS256}, nil
	}
	if len(c.Algorithms) == 0 {
		return nil, errors.New("Config.Algorithms is empty, so no token could pass: name some, or leave it nil for the defaults")
	}
	var algs []jose.Algorithm
	for _, name := range c.Algorithms {
		alg, err := jose.ParseAlgorithm(name)
		if err != nil {
			return nil, fmt.Errorf("Config.Algorithms has %q: %w", name, err)
		}
		algs = append(algs, alg)
	}
	return algs, nil
}

// Verify checks an access token. With an error the claims are nil.
func (v *Verifier) Verify(ctx context.Context, token string) (*Claims, error) {
	keys, err := v.keys.current(ctx)
	if err != nil {
		return nil, err
	}
	if len(token) > jose.MaxTokenSize {
		return nil, jose.ErrTooLarge
	}
	id := identify(token)
	claims := v.seen.find(id, keys)
	fresh := claims == nil
	if fresh {
		if claims, keys, err = v.verify(ctx, token, keys); err != nil {
			return nil, err
		}
	}
	// The clock has the last word, for tokens seen before too.
	if err := v.checkTimes(claims); err != nil {
		return nil, err
	}
	if fresh {
		v.seen.add(id, keys, claims)
	}
	own := *claims // what the caller does with it stays with the caller
	return &own, nil
}

// verify does all but look at the clock, and says by which keys it did.
func (v *Verifier) verify(ctx context.Context, token string, keys *jose.KeySet) (*Claims, *jose.KeySet, error) {
	t, err := jose.Parse(token)
	if err != nil {
		return nil, nil, err
	}
	if !isAccessToken(t.Type) {
		return nil, nil, ErrType
	}
	err = t.Verify(keys, v.algorithms)
	if errors.Is(err, jose.ErrUnknownKey) {
		if keys, err = v.keys.newer(ctx, keys); err == nil {
			err = t.Verify(keys, v.algorithms)
		}
	}
	if errors.Is(err, jose.ErrNoKey) {
		err = fmt.Errorf("%w: %w", ErrUnknownKey, err)
	}
	if err != nil {
		return nil, nil, err
	}
	c, err := jose.ParseClaims(t.Payload)
	if err != nil {
		return nil, nil, err
	}
	if err := v.checkClaims(c); err != nil {
		return nil, nil, err
	}
	return newClaims(c), keys, nil
}

// isAccessToken: RFC 9068, section 4; media types have no case. A bootstrap credential, an ID
// token or a DPoP proof is something else even if all its claims fit.
func isAccessToken(typ string) bool {
	return strings.EqualFold(typ, "at+jwt") || strings.EqualFold(typ, "application/at+jwt")
}

// checkClaims may quote the claims in errors: the signature has been checked.
func (v *Verifier) checkClaims(c *jose.Claims) error {
	switch {
	case c.Issuer != v.issuer:
		return fmt.Errorf("%w: %q, not %q", ErrIssuer, c.Issuer, v.issuer)
	// Exactly one audience: of two services that take the same token, each could call the
	// other with it.
	case len(c.Audience) != 1 || c.Audience[0] != v.audience:
		return fmt.Errorf("%w: %q, not %q", ErrAudience, c.Audience, v.audience)
	case c.Subject == "":
		return fmt.Errorf("%w: sub", ErrMissingClaim)
	case c.Expiry.IsZero():
		return fmt.Errorf("%w: exp", ErrMissingClaim)
	case c.IssuedAt.IsZero():
		return fmt.Errorf("%w: iat", ErrMissingClaim)
	case c.ID == "":
		return fmt.Errorf("%w: jti", ErrMissingClaim)
	case c.Bound:
		return ErrBound
	}
	return nil
}

func (v *Verifier) checkTimes(c *Claims) error {
	now := v.now()
	if late := now.Sub(c.ExpiresAt); late >= v.leeway {
		return fmt.Errorf("%w, %v ago (leeway %v): if its issuer thinks otherwise there is clock skew, and the clock here is ahead", ErrExpired, late.Round(time.Second), v.leeway)
	}
	from := c.IssuedAt
	if c.notBefore.After(from) {
		from = c.notBefore
	}
	if early := from.Sub(now); early > v.leeway {
		return fmt.Errorf("%w, for another %v (leeway %v): if it was issued just now there is clock skew, and the clock here is behind", ErrNotYetValid, early.Round(time.Second), v.leeway)
	}
	return nil
}
