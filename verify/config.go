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

// How far clocks may differ.
const (
	DefaultLeeway = 10 * time.Second
	MaxLeeway     = time.Minute // FAPI 2.0 Security Profile, section 5.3.2.1
)

// Config configures a Verifier. Audience is required, and either Server, or Issuer with one of JWKSURL and Keys.
// The other fields have defaults.
type Config struct {
	// Server is the issuer URL of the authorization server, such as "http://localhost:8000". It has three effects:
	// tokens may have it as their iss, JWKSURL is /.well-known/jwks.json below it, and Revocations.URL is
	// /oauth2/denylist below it. The two URLs can be set to other values.
	Server string
	// Issuer is the exact iss of tokens, such as "auth-server" for tokens of Watchword's POST /accesstoken. If
	// Server is set too, both are accepted. They are names of the same authorization server, with one key set.
	Issuer string
	// Audience is the exact aud of tokens, which is the name of this service.
	Audience string
	// Audiences are other identifiers of this service, such as the URIs with which it is registered.
	Audiences []string
	// AllowSeveralAudiences accepts tokens that are also for other services. Each of those services can then use
	// such a token here, in the name of its caller.
	AllowSeveralAudiences bool
	// JWKSURL is the URL of the authorization server's key set.
	JWKSURL string
	// Keys is a JWK Set document that is used instead of JWKSURL, for tests and for machines without a network.
	Keys []byte
	// Revocations configures whether revoked tokens are refused before they expire.
	Revocations Revocations

	// RequireBound refuses bearer tokens. Each token must be bound to a key or certificate of its sender.
	RequireBound bool
	// ExternalURL is the URL by which callers know this service: the scheme, the host, and the path prefix that a
	// proxy removes. The htu of DPoP proofs is compared with it and the path of the request. If empty, the URL is
	// taken from the request. That is right only if no proxy terminates TLS or changes the Host header, and it lets a
	// sender choose what its proof is compared with: a proof that was made for another service and stolen there is
	// accepted if it is sent with the Host of that service. So set ExternalURL if callers send DPoP proofs. Without
	// it, a Verifier logs a warning, at the start if RequireBound is set, and otherwise with the first proof.
	// X-Forwarded headers are never used, because anybody can send them.
	ExternalURL string
	// NonceKey enables nonces in DPoP proofs (RFC 9449, section 9). It has 32 random bytes and is the same in all
	// replicas of this service. If nil, nonces are neither required nor checked.
	NonceKey []byte
	// Replays remembers DPoP proofs. If nil, each process remembers its own; then each replica of a service accepts
	// a stolen proof once within its minute.
	Replays Replays
	// Resource describes this service to clients (RFC 9728). Challenges contain its URL.
	Resource Resource

	// Algorithms are the signature algorithms that are accepted. Nil means ES256, PS256, EdDSA and RS256, which are
	// those with which Watchword signs. In any case, a key verifies only signatures of its own algorithm.
	Algorithms []string
	// Leeway is how far clocks may differ, at most MaxLeeway. Zero means DefaultLeeway, and a negative value means
	// none.
	Leeway time.Duration
	// CacheFile keeps the key set across restarts, so that a service that restarts while the authorization server
	// cannot be reached continues for as long as one that keeps running. If empty, there is no file. Whoever can
	// write to the file decides which tokens are accepted.
	CacheFile string
	// AllowHTTP permits http in Server, JWKSURL and Revocations.URL for other machines. Whoever can change the
	// traffic then decides which tokens are accepted.
	AllowHTTP bool
	// HTTPClient fetches keys and revocations. Redirects to another host are refused in any case.
	HTTPClient *http.Client
	// Realm is the realm of challenges. The default is "watchword".
	Realm string
	// Logger logs what cannot be fetched. Nil means slog.Default().
	Logger *slog.Logger
	// Now is the clock for the times in tokens. Nil means time.Now.
	Now func() time.Time
}

// withServer sets the URLs that follow from Server.
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

// check returns an error if an expectation is empty, which must not mean that anything is accepted.
func (c Config) check() error {
	var problems []error
	if c.Issuer == "" && c.Server == "" {
		problems = append(problems, errors.New(`Config.Issuer is empty: set it to the iss of your tokens, "auth-server" unless configured otherwise, or set Config.Server`))
	}
	if c.Audience == "" || slices.Contains(c.Audiences, "") {
		problems = append(problems, errors.New("Config.Audience is empty, or one of Audiences: set it to the name of this service, as registered with the authorization server"))
	}
	if c.Leeway > MaxLeeway {
		problems = append(problems, fmt.Errorf("Config.Leeway is %v, but at most %v is allowed; synchronise the clocks instead", c.Leeway, MaxLeeway))
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
		return jose.Algorithms(), nil
	}
	if len(c.Algorithms) == 0 {
		return nil, errors.New("Config.Algorithms is empty, so no token could be accepted: set some, or nil for the defaults")
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
