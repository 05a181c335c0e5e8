// Package keysets knows which public keys an issuer publishes now: those that an operator uploaded, and those that it
// fetches, keeps and fetches again. An issuer is a service with a jwks_uri, or a platform such as a cluster or a SPIFFE
// trust domain. The package does not know what the tokens that the keys signed say, or whom they prove.
package keysets

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/outbound"
)

// Kind is how the keys of a source are published.
type Kind int

const (
	// Client is a JWK Set of a service (RFC 7517), for its assertions: its algorithms are those of jose.ClientAlgorithms,
	// and a set without keys is an answer, too.
	Client Kind = iota
	// Platform is a JWK Set of an outside issuer. Without a URL it is where the issuer's discovery document says (OpenID
	// Connect Discovery 1.0, section 4).
	Platform
	// SPIFFE is a SPIFFE bundle (The SPIFFE Trust Domain and Bundle, section 4), of which the keys of JWT-SVIDs and the
	// authorities of X.509-SVIDs are used. An empty bundle trusts nothing.
	SPIFFE
)

// Source is where the keys of one issuer are. Nothing in it may come from a token.
type Source struct {
	// ID identifies the source among those of the same Sets: the id of a trust, or the URL of a service's keys. If
	// anything else in the source but the algorithms changes, what was fetched before is forgotten.
	ID   string
	Kind Kind
	// Issuer is the URL of a Platform, or the trust domain of a SPIFFE bundle, as in spiffe://example.org.
	Issuer string
	// URL is where the keys are. Empty: they are uploaded or, if there are none, discovered.
	URL string
	// JWKS is what was uploaded. If there is a URL too, it is the bundle with which the first connection to a bundle
	// endpoint with EndpointID is checked.
	JWKS string
	// Authorities are uploaded certificates of authorities of X.509-SVIDs, in PEM, in addition to those of the bundle.
	Authorities string
	// EndpointID is the SPIFFE ID with which a bundle endpoint authenticates (SPIFFE Federation, section 5.2.2, profile
	// https_spiffe). Empty: its certificate is for its host name (profile https_web).
	EndpointID string
	// Algorithms are those with which the issuer may sign. They do not apply to a Client. Keys for others are kept, and
	// verify nothing.
	Algorithms []jose.Algorithm
}

func (s *Source) same(o *Source) bool {
	return s.ID == o.ID && s.Kind == o.Kind && s.Issuer == o.Issuer && s.URL == o.URL && s.JWKS == o.JWKS &&
		s.Authorities == o.Authorities && s.EndpointID == o.EndpointID
}

// isFetched reports whether the keys are fetched, not uploaded.
func (s *Source) isFetched() bool {
	return s.URL != "" || s.Kind == Platform && s.JWKS == ""
}

// MaxKeysTried is how many signatures are checked for one token that does not name the key that signed it.
const MaxKeysTried = 8

// The bounds of what is fetched from services and from platforms.
const (
	ClientLimit   = 64 << 10  // bytes
	PlatformLimit = 256 << 10 // bytes
	// PlatformTimeout is the time for all requests of one fetch.
	PlatformTimeout = 3 * time.Second
	clientTimeout   = 2 * time.Second
	// Fresh is how long a key remains valid here after its issuer withdrew it.
	Fresh = 5 * time.Minute
	// Refetch is how often keys are fetched at most, after a failure and because a token names an unknown key.
	Refetch = 30 * time.Second
	// ClientRetry is the same for services while no keys have been fetched.
	ClientRetry = 5 * time.Second
	// Stale is how long old keys are used while new ones cannot be fetched: a night. Nobody waits for that with a key
	// that was stolen: an operator revokes the credential, or changes the trust.
	Stale = 24 * time.Hour
	// MaxClients and MaxPlatforms are how many sources are remembered. There are at most 1,000 trusts, so that none is
	// forgotten because others come and go.
	MaxClients   = 16384
	MaxPlatforms = 4096
)

// At most so many requests wait for the keys of one source, and of all. The others are answered at once, with the keys
// at hand, if there are any. Anybody can send a token in the name of an issuer whose keys are slow to come, and each
// request that waits is one that is worked on.
const (
	MaxWaitingForOne = 64
	MaxWaitingForAll = 256
)

// Options of Sets.
type Options struct {
	// Networks may be connected to besides public addresses.
	Networks []netip.Prefix
	// Limit is the size of an answer in bytes, and Timeout the time for all requests of one fetch.
	Limit   int
	Timeout time.Duration
	// Fresh is how long keys serve before they are fetched again, Refetch how often a failure and an unknown key have
	// them fetched at most, Retry the same while there are none, and Stale how long they serve while they cannot be
	// fetched.
	Fresh, Refetch, Retry, Stale time.Duration
	// Most is how many sources are remembered.
	Most int
}

// ForClients returns the options for keys that services publish.
func ForClients(networks []netip.Prefix) Options {
	return Options{
		Networks: networks, Limit: ClientLimit, Timeout: clientTimeout,
		Fresh: Fresh, Refetch: Refetch, Retry: ClientRetry, Stale: Stale, Most: MaxClients,
	}
}

// ForPlatforms returns the options for keys that platforms publish.
func ForPlatforms(networks []netip.Prefix) Options {
	return Options{
		Networks: networks, Limit: PlatformLimit, Timeout: PlatformTimeout,
		Fresh: Fresh, Refetch: Refetch, Retry: Refetch, Stale: Stale, Most: MaxPlatforms,
	}
}

// ErrUnavailable means that there are no keys to check a signature with: they could not be fetched.
var ErrUnavailable = errors.New("the keys of the issuer are not available")

var (
	errCrowded = errors.New("as many requests as may are waiting for the keys already")
	errChanged = errors.New("the settings of the issuer changed meanwhile: try again")
)

// Sets are the keys of many sources. It is safe for concurrent use.
type Sets struct {
	o      Options
	policy outbound.Policy
	client *http.Client
	flight singleflight.Group

	mu      sync.Mutex
	kept    map[string]*set
	uses    uint64         // counts look-ups, for set.used
	swept   time.Time      // when sets that serve nobody were dropped
	waiting map[string]int // requests that wait, by id
	all     int            // the sum of them
}

// New returns Sets without keys.
func New(o Options) *Sets {
	policy := outbound.Policy{Networks: o.Networks, Setting: "oauth.jwks_networks"}
	return &Sets{o: o, policy: policy, client: policy.Client(o.Timeout), kept: map[string]*set{}, waiting: map[string]int{}}
}

// set is what is known of one source. It is immutable, except for used.
type set struct {
	source  Source
	content *content  // nil: there never was any
	fetched time.Time // when content is from
	tried   time.Time // when it was last asked for
	err     error     // the result of that
	used    uint64    // when it was last looked up; guarded by Sets.mu
}

// Verify returns nil if a key of src signed t with one of the algorithms of src. A kid that t names must be the key's.
// The error wraps jose.ErrAlgorithm, jose.ErrNoKey, jose.ErrUnknownKey or jose.ErrSignature or, if there are no keys to
// check it with, ErrUnavailable.
func (s *Sets) Verify(ctx context.Context, src *Source, t *jose.Token, now time.Time) error {
	alg, err := jose.ParsePlatformAlgorithm(t.Algorithm)
	if err != nil || !slices.Contains(src.Algorithms, alg) {
		return jose.ErrAlgorithm
	}
	if src.Kind == SPIFFE && t.KeyID == "" { // all keys of a bundle have one
		return jose.ErrNoKey
	}
	find := NewSearch(t)
	if ok, err := s.Signed(ctx, src, find, now); ok || err != nil {
		return err
	}
	return find.Err()
}

// Search is the search for the key that signed a token, in one or more sources.
type Search struct {
	token *jose.Token
	alg   jose.Algorithm
	left  int // keys that may still be tried
}

// NewSearch begins the search for the key of t.
func NewSearch(t *jose.Token) *Search {
	alg, _ := jose.ParsePlatformAlgorithm(t.Algorithm) // an unknown one is that of no key
	return &Search{t, alg, MaxKeysTried}
}

// SignedBy reports whether k signed the token. A kid that is named must be the key's, and the algorithm always is (RFC
// 8725, section 3.1). At most MaxKeysTried keys are tried.
func (s *Search) SignedBy(k *jose.PublicKey) bool {
	if s.alg != k.Algorithm || s.token.KeyID != "" && s.token.KeyID != k.ID || s.left == 0 {
		return false
	}
	s.left--
	return s.token.VerifyWith(*k) == nil
}

// Err returns the error of a search that found no key: jose.ErrUnknownKey if none was tried, else jose.ErrSignature.
func (s *Search) Err() error {
	if s.left == MaxKeysTried {
		return jose.ErrUnknownKey
	}
	return jose.ErrSignature
}

// Signed reports whether a key of src signed what find is about. If none of the keys at hand did, they are fetched
// again, unless that was done less than Options.Refetch ago. The error wraps ErrUnavailable.
func (s *Sets) Signed(ctx context.Context, src *Source, find *Search, now time.Time) (bool, error) {
	k, err := s.at(ctx, src, now, false)
	if err != nil {
		return false, err
	}
	if k.content.signed(find) {
		return true, nil
	}
	if newer, err := s.at(ctx, src, now, true); err == nil && newer.content != k.content {
		return newer.content.signed(find), nil
	}
	return false, nil
}

// Authorities returns the certificates of the authorities that sign the X.509-SVIDs of src, a SPIFFE trust domain: those
// that were uploaded, and those of its bundle. There may be none. The error wraps ErrUnavailable if there is a bundle and
// it is not available.
func (s *Sets) Authorities(ctx context.Context, src *Source, now time.Time) ([]*x509.Certificate, error) {
	k, err := s.at(ctx, src, now, false)
	if err != nil {
		return nil, err
	}
	return k.content.authorities, nil
}

// Refresh fetches the keys of src, unless they were fetched less than Options.Refetch ago, and returns an error that
// wraps ErrUnavailable if no keys are available then.
func (s *Sets) Refresh(ctx context.Context, src *Source, now time.Time) error {
	_, err := s.at(ctx, src, now, true)
	return err
}

// at returns the keys of src as they are, or were less than Options.Fresh ago. If again is set, they are fetched if that
// was not done less than Options.Refetch ago. However many requests there are, one fetches, and the others wait for it.
func (s *Sets) at(ctx context.Context, src *Source, now time.Time, again bool) (*set, error) {
	old := s.find(src)
	if old != nil && s.serves(old, now, again) {
		return s.valid(old, now)
	}
	if !src.isFetched() {
		k := &set{source: *src, fetched: now, tried: now}
		k.content, k.err = read(src, []byte(src.JWKS), true)
		s.keep(k, now)
		return s.valid(k, now)
	}
	end, ok := s.wait(src.ID)
	if !ok {
		if old == nil {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, errCrowded)
		}
		return s.valid(old, now)
	}
	defer end()
	// What is fetched is for all who wait, so it does not end with the first of them.
	detached := context.WithoutCancel(ctx)
	fetched := s.flight.DoChan(src.ID, func() (any, error) {
		old := s.find(src)
		if old != nil && s.serves(old, now, again) {
			return old, nil
		}
		k := &set{source: *src, tried: now}
		var known *content
		if old != nil {
			k.content, k.fetched = old.content, old.fetched
			if now.Sub(old.fetched) <= s.o.Stale {
				known = old.content
			}
		}
		var latest *content
		if latest, k.err = s.fetch(detached, src, known); k.err == nil {
			k.content, k.fetched = latest, now
		}
		s.keep(k, now)
		return k, nil
	})
	select {
	case r := <-fetched:
		k := r.Val.(*set)
		if !k.source.same(src) {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, errChanged)
		}
		return s.valid(k, now)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serves reports whether k answers a request without a fetch.
func (s *Sets) serves(k *set, now time.Time, again bool) bool {
	asked := now.Sub(k.tried)
	switch {
	case !k.source.isFetched():
		return true
	case k.content == nil:
		return asked < s.o.Retry
	case !again && now.Sub(k.fetched) < k.content.fresh(s.o):
		return true
	}
	return asked < s.o.Refetch
}

// valid returns k if its keys may be used.
func (s *Sets) valid(k *set, now time.Time) (*set, error) {
	switch {
	case k.content == nil:
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, k.err)
	case !k.source.isFetched() || now.Sub(k.fetched) <= s.o.Stale:
		return k, nil
	case k.err == nil: // as many requests as may are waiting for newer ones
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, errCrowded)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, k.err)
}

// wait notes that one more request waits for the keys of the source with this id, if it may.
func (s *Sets) wait(id string) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[id] >= MaxWaitingForOne || s.all >= MaxWaitingForAll {
		return nil, false
	}
	s.waiting[id]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all--
		if s.waiting[id]--; s.waiting[id] == 0 {
			delete(s.waiting, id)
		}
	}, true
}

// Waiting returns how many requests wait for keys.
func (s *Sets) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// find returns what is known of src, or nil.
func (s *Sets) find(src *Source) *set {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kept[src.ID]
	if k == nil || !k.source.same(src) {
		return nil
	}
	s.uses++
	k.used = s.uses
	return k
}

// keep replaces what is known of a source. Once an hour, it drops sets that nobody asked for during Options.Stale: their
// keys may not be used any more. If there are too many sets, the half goes that was not looked up for longest.
func (s *Sets) keep(k *set, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses++
	k.used = s.uses
	if _, known := s.kept[k.source.ID]; !known {
		if full := len(s.kept) >= s.o.Most; full || now.Sub(s.swept) >= time.Hour {
			s.swept = now
			for id, old := range s.kept {
				if now.Sub(old.tried) > s.o.Stale {
					delete(s.kept, id)
				}
			}
		}
		if len(s.kept) >= s.o.Most {
			uses := make([]uint64, 0, len(s.kept))
			for _, old := range s.kept {
				uses = append(uses, old.used)
			}
			slices.Sort(uses)
			for id, old := range s.kept {
				if old.used < uses[len(uses)/2] {
					delete(s.kept, id)
				}
			}
		}
	}
	s.kept[k.source.ID] = k
}

// State is what is known of a source, for its operator.
type State struct {
	Keys        []Key
	Authorities []*x509.Certificate
	// Fetched is when the keys are from, and Tried when they were last asked for. Zero: never, or they are uploaded.
	Fetched, Tried time.Time
	// Error is why the last fetch failed, or why what was uploaded cannot be used. Empty: it did not.
	Error string
}

// Key is a key of an issuer.
type Key struct {
	ID         string           // kid, empty if the key has none
	Algorithms []jose.Algorithm // of signatures that it verifies
	Thumbprint string           // RFC 7638, SHA-256
}

// State returns what is known of src. It fetches nothing.
func (s *Sets) State(src *Source) (state State) {
	k := s.find(src)
	switch {
	case !src.isFetched():
		c, err := read(src, []byte(src.JWKS), true)
		k = &set{source: *src, content: c, err: err}
	case k == nil:
		return State{}
	}
	state.Fetched, state.Tried = k.fetched, k.tried
	if k.err != nil {
		state.Error = k.err.Error()
	}
	if k.content != nil {
		state.Keys, state.Authorities = k.content.list(src), k.content.authorities
		if n := len(k.content.keys); n > 0 && len(state.Keys) == 0 && state.Error == "" {
			state.Error = fmt.Sprintf("no key is for an algorithm of the trust, which are %s", jose.List(src.Algorithms))
		}
	}
	return state
}

// clip shortens a text from outside for an error.
func clip(text string) string {
	if len(text) > 256 {
		return strings.ToValidUTF8(text[:256], "") + "..."
	}
	return text
}
