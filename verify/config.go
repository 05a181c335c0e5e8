package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
)

// How far clocks may differ before a token is refused.
const (
	DefaultLeeway = 10 * time.Second
	MaxLeeway     = time.Minute // FAPI 2.0 Security Profile, section 5.3.2.1
)

// Config says what to expect of a token. Audience, and either Server or both of Issuer and one of
// JWKSURL and Keys are required; the rest has defaults.
type Config struct {
	// Server is the issuer URL of the authorization server: "http://localhost:8000". It is short for
	// three things: tokens may have it as their iss, JWKSURL is its /.well-known/jwks.json, and
	// Revocations.URL its /oauth2/denylist. The last two can still be set to something else.
	Server string
	// Issuer is the exact iss of tokens: "auth-server" for tokens of Watchword's plain door. Beside
	// Server it is a second one. Both are names of one authorization server with one set of keys.
	Issuer string
	// Audience is the exact aud of tokens: the name of this service.
	Audience string
	// Audiences are further identifiers of this service, such as the URIs it is registered with.
	Audiences []string
	// AllowSeveralAudiences accepts tokens that are for other services too. Each of those can then
	// use such a token here, as its caller.
	AllowSeveralAudiences bool
	// JWKSURL is where the authorization server publishes its keys.
	JWKSURL string
	// Keys is a JWK Set document to use instead, for tests and for machines without a network.
	Keys []byte
	// Revocations says whether to refuse tokens that were revoked before their time is over.
	Revocations Revocations

	// RequireBound refuses bearer tokens: each must be bound to a key or certificate of its sender.
	RequireBound bool
	// ExternalURL is how callers know this service: scheme, host, and what a proxy takes off the path.
	// The htu of DPoP proofs is held against it and the path of the request. Empty: what the
	// request itself says, which is right only if no proxy ends TLS or changes the Host header, and
	// which lets a sender choose what its proof is compared with: a proof that was made for another
	// service, and stolen there, passes if it is sent with that service's Host. So set it where callers
	// send DPoP proofs; a verifier without it logs a warning, at the start with RequireBound and with
	// the first proof otherwise. What
	// a proxy says of it in X-Forwarded headers never counts: so could anyone.
	ExternalURL string
	// NonceKey, of 32 random bytes and the same in all replicas of this service, makes it ask for
	// nonces in DPoP proofs (RFC 9449, section 9). Nil: none are asked for, nor checked.
	NonceKey []byte
	// Replays remembers DPoP proofs. Nil: this process does, for itself; replicas of a service then
	// each accept a stolen proof once, within its minute.
	Replays Replays
	// Resource describes this service to clients (RFC 9728). Its URL is named in challenges.
	Resource Resource

	// Algorithms accepted. Nil: ES256, PS256, EdDSA and RS256, all that Watchword signs with.
	// A key verifies under its own algorithm only, whatever is accepted here.
	Algorithms []string
	// Leeway for clocks that differ. Zero: DefaultLeeway; negative: none; at most MaxLeeway.
	Leeway time.Duration
	// CacheFile keeps the key set across restarts, so that a service that restarts while the
	// authorization server is away can go on for as long as one that runs. Empty: no file.
	// Who can write the file decides which tokens are genuine.
	CacheFile string
	// AllowHTTP accepts an http Server, JWKSURL or Revocations.URL that is not on this machine. Who
	// can change traffic on the way then decides which tokens are genuine.
	AllowHTTP bool
	// HTTPClient fetches keys and revocations. Redirects to another host are refused whatever it
	// says.
	HTTPClient *http.Client
	// Realm of challenges. Empty: "watchword".
	Realm string
	// Logger hears of what cannot be fetched. Nil: slog.Default.
	Logger *slog.Logger
	// Now is the clock tokens are held against. Nil: time.Now.
	Now func() time.Time
}

// withServer fills in what Server is short for.
func (c Config) withServer() Config {
	if c.Server == "" {
		return c
	}
	base := strings.TrimSuffix(c.Server, "/")
	if c.JWKSURL == "" && c.Keys == nil {
		c.JWKSURL = base + "/.well-known/jwks.json"
	}
	if c.Revocations.URL == "" && !c.Revocations.Off {
		c.Revocations.URL = base + "/oauth2/denylist"
	}
	return c
}

func (c Config) verifier() (*Verifier, error) {
	c = c.withServer()
	v := &Verifier{
		audiences: append([]string{c.Audience}, c.Audiences...), severalAudiences: c.AllowSeveralAudiences,
		requireBound: c.RequireBound, externalURL: strings.TrimSuffix(c.ExternalURL, "/"),
		realm: c.Realm, leeway: c.Leeway, now: c.Now, replays: c.Replays,
		logger: cmp.Or(c.Logger, slog.Default()),
	}
	for _, iss := range []string{c.Server, c.Issuer} {
		if iss != "" {
			v.issuers = append(v.issuers, iss)
		}
	}
	var problems [5]error
	v.algorithms, problems[0] = c.algorithms()
	v.keys, problems[1] = newKeySource(c)
	v.resource, problems[2] = c.resource(v.issuers)
	v.nonces, problems[3] = c.nonces()
	problems[4] = c.check()
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
	if v.requireBound && v.externalURL == "" {
		v.warnOfHost(context.Background())
	}
	if v.replays == nil {
		v.replays = newReplays(maxReplays, v.now)
	}
	var err error
	v.revocations, err = newFollower(c, v)
	return v, err
}

// check: an expectation left empty is an error, never "expect anything".
func (c Config) check() error {
	var problems []error
	if c.Issuer == "" && c.Server == "" {
		problems = append(problems, errors.New(`Config.Issuer is empty: set it to the iss of your tokens, "auth-server" unless configured otherwise, or set Config.Server`))
	}
	if c.Audience == "" || slices.Contains(c.Audiences, "") {
		problems = append(problems, errors.New("Config.Audience is empty, or one of Audiences: set it to the name of this service, as registered with the authorization server"))
	}
	if c.Leeway > MaxLeeway {
		problems = append(problems, fmt.Errorf("Config.Leeway is %v: at most %v; synchronise the clocks instead", c.Leeway, MaxLeeway))
	}
	if !isQuotable(c.Realm) {
		problems = append(problems, errors.New(`Config.Realm: use printable ASCII without " and \`))
	}
	if u := c.ExternalURL; u != "" && (strings.ContainsAny(u, "?#") || !dpop.IsURL(u)) {
		problems = append(problems, errors.New("Config.ExternalURL is not an absolute http or https URL without query and fragment"))
	}
	return errors.Join(problems...)
}

func (c Config) nonces() (*dpop.Nonces, error) {
	if c.NonceKey == nil {
		return nil, nil
	}
	n, err := dpop.NewNonces(c.NonceKey, 0)
	if err != nil {
		return nil, fmt.Errorf("Config.NonceKey: %w", err)
	}
	return n, nil
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
