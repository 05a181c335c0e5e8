package clientauth

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keysets"
	"github.com/watchword-dev/watchword/server/internal/once"
)

const (
	// maxAssertionLife is how far ahead the end of an assertion may be: for so long its jti is
	// remembered.
	maxAssertionLife = 5 * time.Minute
	// clockSkew is how far a client's clock may be ahead (FAPI 2.0 Security Profile, section
	// 5.3.2.1, item 13). One that is behind has its assertions end early: no end is stretched.
	clockSkew = 10 * time.Second
	// maxAssertionID is the longest jti, in bytes. RFC 7519 has no bound. It is that of DPoP proofs,
	// and holds 512 bits in hexadecimal.
	maxAssertionID = 128
)

// privateKey is private_key_jwt: a short statement signed with a key whose public half is in the
// directory, or where the directory says (RFC 7523, section 2.2; OpenID Connect Core, section 9).
type privateKey struct {
	o    Options
	keys recent[string, *jose.PublicKey] // by JWK: to read one costs a tenth of checking a signature
	sets *keysets.Sets
	// nobodys checks a signature with a key that no service has.
	nobodys func(*jose.Token)
}

func newPrivateKey(o Options) *privateKey {
	return &privateKey{o: o, sets: keysets.New(keysets.ForClients(o.JWKSNetworks)), nobodys: checkNobodys}
}

func (m *privateKey) Name() string { return api.PrivateKeyJWT }

func (m *privateKey) Presents(p *Presented) bool {
	return p.Assertion != "" && !p.isBootstrap() && p.platformToken() == nil
}

// Authenticate names what the assertion uses up, and uses up nothing: that is done last, with all
// else known to be good, so that no forgery spends the jti of a real one.
func (m *privateKey) Authenticate(ctx context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	t, err := p.assertion()
	if err != nil {
		return Identity{}, &Failure{Reason: "malformed"}
	}
	c, err := jose.ParseClaims(t.Payload)
	if err != nil {
		return Identity{}, &Failure{Reason: "malformed"}
	}
	switch alg, err := jose.ParseAlgorithm(t.Algorithm); {
	case err != nil || !slices.Contains(jose.ClientAlgorithms(), alg):
		return Identity{}, &Failure{Reason: "algorithm_not_accepted"}
	case !isAssertionType(t.Type):
		return Identity{}, &Failure{Reason: "wrong_type"}
	}
	svc, ok := s.Service(c.Subject)
	if !ok {
		m.nobodys(t)
		return Identity{}, &Failure{Reason: "unknown_service"}
	}
	credential, failure := m.signer(ctx, t, svc, p, s, now)
	if failure != nil {
		return Identity{}, failure
	}
	if why := m.fault(c, svc, now); why != "" {
		return Identity{}, &Failure{Reason: why, Claimed: svc.Name, CredentialID: credential.ID}
	}
	return Identity{Service: svc, CredentialID: credential.ID, Once: []once.Entry{{
		// With the service, so that nobody uses up what is another's. Replicas whose clocks differ
		// agree on the end after a while.
		Key:   once.Key("assertion", directory.FormatUID(svc.UID), c.ID),
		Until: c.Expiry.Add(clockSkew),
	}}}, nil
}

// isAssertionType: a missing typ and the one of all JWTs are what clients send (RFC 7519, section
// 5.1), and draft-ietf-oauth-rfc7523bis has one of its own. Any other is a token made for something
// else (RFC 8725, sections 3.11 and 3.12).
func isAssertionType(typ string) bool {
	// RFC 7515, section 4.1.9: a media type, of which application/ may be left out.
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return typ == "" || typ == "jwt" || typ == "client-authentication+jwt"
}

// fault is "" when the claims of an assertion of svc are good, else why not.
func (m *privateKey) fault(c *jose.Claims, svc *directory.Service, now time.Time) string {
	ahead := now.Add(clockSkew)
	switch {
	case c.Issuer != svc.Name: // RFC 7523, section 3, items 1 and 2
		return "issuer_mismatch"
	case !m.isAudience(c, svc):
		return "audience_mismatch"
	case c.Expiry.IsZero():
		return "no_expiry"
	case !now.Before(c.Expiry):
		return "expired"
	case c.IssuedAt.After(ahead), c.NotBefore.After(ahead):
		return "not_yet_valid"
	case c.Expiry.Sub(ahead) > maxAssertionLife,
		// One that was made long ago is refused in its last minutes, too.
		!c.IssuedAt.IsZero() && c.Expiry.Sub(c.IssuedAt) > maxAssertionLife+clockSkew:
		return "lives_too_long"
	case c.ID == "":
		return "no_jti"
	case len(c.ID) > maxAssertionID:
		return "jti_too_long"
	}
	return ""
}

// isAudience: the issuer as a string, and nothing beside it. One that names the token endpoint
// could be meant for a server that only claims this endpoint (CVE-2025-27370; FAPI 2.0 Security
// Profile, section 5.3.2.1, item 8), so that is for services whose operator says so.
func (m *privateKey) isAudience(c *jose.Claims, svc *directory.Service) bool {
	if c.AudienceIsArray || len(c.Audience) != 1 {
		return false
	}
	// RFC 3986, section 6.2.1: simple string comparison.
	return c.Audience[0] == m.o.Issuer || svc.TokenEndpointAudience && c.Audience[0] == m.o.TokenEndpoint
}

// signer finds the credential of svc by whose key t is signed, and which may be used.
func (m *privateKey) signer(ctx context.Context, t *jose.Token, svc *directory.Service, p *Presented, s *directory.Snapshot, now time.Time) (*directory.Credential, *Failure) {
	find := keysets.NewSearch(t)
	var published, ended []*directory.Credential
	for _, c := range s.CredentialsOf(svc.UID) {
		switch {
		case c.Kind != directory.KindKey && c.Kind != directory.KindJWKS:
		case usable(c, p, now) != "":
			ended = append(ended, c)
		case c.Kind == directory.KindJWKS:
			published = append(published, c)
		default:
			if k := m.key(c); k != nil && find.SignedBy(k) {
				return c, nil
			}
		}
	}
	var away *Failure
	for _, c := range published {
		switch found, err := m.sets.Signed(ctx, &keysets.Source{ID: c.Material, Kind: keysets.Client, URL: c.Material}, find, now); {
		case found:
			return c, nil
		case err != nil: // which service is known, though not whether it is the one that asks
			away = &Failure{Reason: "keys_unavailable", Claimed: svc.Name, CredentialID: c.ID, Kind: Away, Cause: err}
		}
	}
	// Last, for the audit log: a key that was good once.
	for _, c := range ended {
		if k := m.key(c); k != nil && find.SignedBy(k) {
			return nil, &Failure{Reason: usable(c, p, now), Claimed: svc.Name, CredentialID: c.ID}
		}
	}
	if away != nil {
		return nil, away
	}
	if errors.Is(find.Err(), jose.ErrUnknownKey) {
		m.nobodys(t)
		return nil, &Failure{Reason: "unknown_key"}
	}
	return nil, &Failure{Reason: "bad_signature"}
}

// WaitingForKeys is how many requests wait for keys that services and platforms publish.
func (a *Authenticator) WaitingForKeys() int {
	n := a.workloads.keys.Waiting()
	for _, m := range a.methods {
		if m, ok := m.(*privateKey); ok {
			n += m.sets.Waiting()
		}
	}
	return n
}

// key is the key of a credential, or nil.
func (m *privateKey) key(c *directory.Credential) *jose.PublicKey {
	if c.Kind != directory.KindKey {
		return nil
	}
	if k, ok := m.keys.find(c.Material); ok {
		return k
	}
	k, _, err := jose.ParseClientJWK([]byte(c.Material))
	if err != nil {
		return nil // checked when it was registered: a newer version's
	}
	m.keys.add(c.Material, &k)
	return &k
}
