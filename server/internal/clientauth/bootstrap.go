package clientauth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// BootstrapType is the typ of bootstrap credentials: nothing else signed here has it, so that
// none of it passes for one (RFC 8725, section 3.11).
const BootstrapType = "bootstrap+jwt"

// bootstrap is the long-lived credential: a JWT whose issuer and audience are both exactly
// this server.
type bootstrap struct {
	o Options
	// seen are tokens whose signature was good, by the hash of all their bytes: checking an ES256
	// signature costs more than making one. Each is at most jose.MaxTokenSize.
	seen recent[[sha256.Size]byte, *signedToken]
}

func newBootstrap(o Options) *bootstrap { return &bootstrap{o: o} }

func (b *bootstrap) Name() string { return api.Bootstrap }

// Presents: at /accesstoken as a bearer token, unless a platform signed it, at the OAuth endpoints as an assertion of its
// own type.
func (b *bootstrap) Presents(p *Presented) bool {
	return p.Bearer != "" && p.platformToken() == nil || p.isBootstrap()
}

// Authenticate checks signature, type, issuer, audience and dates, and then holds the
// credential against the directory, each time anew: only the signature is remembered.
func (b *bootstrap) Authenticate(_ context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	t, fail := b.signed(cmp.Or(p.Bearer, p.Assertion))
	if fail != nil {
		return Identity{}, fail
	}
	refuse := func(reason string) (Identity, *Failure) {
		return Identity{}, &Failure{Reason: reason, Claimed: t.claims.Subject, CredentialID: t.id}
	}
	c := t.claims
	switch {
	// Either one alone would let a callee present the token it received: the demo this grew
	// from said "and" where it must say "or".
	case c.Issuer != b.o.PlainIssuer:
		return refuse("issuer_mismatch")
	case len(c.Audience) != 1 || c.AudienceIsArray || c.Audience[0] != b.o.PlainIssuer:
		return refuse("audience_mismatch")
	case c.Expiry.IsZero():
		return refuse("no_expiry")
	case !now.Before(c.Expiry):
		return refuse("expired")
	case now.Before(c.NotBefore):
		return refuse("not_yet_valid")
	case t.from == access:
		return refuse("wrong_type")
	}
	svc, ok := s.Service(c.Subject)
	if !ok {
		return refuse("unknown_service")
	}
	if t.from == foreign {
		// Its issuer knows names only. A service made after the credential is another service, and a date that is
		// still to come would make the credential younger than all services.
		switch {
		case c.IssuedAt.Before(svc.CreatedAt.Truncate(time.Second)):
			return refuse("older_than_service")
		case now.Before(c.IssuedAt):
			return refuse("not_yet_valid")
		}
		return Identity{Service: svc, CredentialID: t.id}, nil
	}
	record, ok := s.Credential(t.id)
	switch {
	case !ok || record.Kind != directory.KindBootstrap:
		return refuse("unknown_credential")
	case record.Service != svc.UID:
		return refuse("service_replaced")
	}
	if why := usable(record, p, now); why != "" {
		return refuse(why)
	}
	return Identity{Service: svc, CredentialID: record.ID}, nil
}

// signedToken is what is true of a token's bytes for as long as its key is good.
type signedToken struct {
	claims *jose.Claims
	keyID  string
	id     string // of the credential
	from   ring
}

// ring is whose key signed a token.
type ring int

const (
	own     ring = iota // this server's, for credentials
	access              // this server's, for access tokens
	foreign             // the SuperTokens interface's
)

// signed checks the signature of token, or remembers that it did. A key that was revoked
// since verifies nothing, remembered or not.
func (b *bootstrap) signed(token string) (*signedToken, *Failure) {
	sum := sha256.Sum256([]byte(token))
	if t, ok := b.seen.find(sum); ok {
		keys := b.keys(t.from)
		if _, ok := keys.Find(t.keyID); ok {
			return t, nil
		}
	}
	t, err := b.verify(token)
	if err != nil {
		return nil, &Failure{Reason: reason(err)}
	}
	b.seen.add(sum, t)
	return t, nil
}

func (b *bootstrap) keys(from ring) *jose.KeySet {
	switch {
	case from == own:
		return b.o.Credentials()
	case from == access:
		return b.o.Access()
	case b.o.Foreign != nil:
		return b.o.Foreign()
	default:
		return jose.NewKeySet()
	}
}

// signer says whose key a kid is.
func (b *bootstrap) signer(keyID string) ring {
	for _, from := range []ring{own, access} {
		if _, ok := b.keys(from).Find(keyID); ok {
			return from
		}
	}
	return foreign
}

var (
	errType = errors.New("type is not " + BootstrapType)
	errNoID = errors.New("no jti")

	// algorithms each ring signs with: one key, one algorithm (RFC 8725, section 3.1).
	algorithms = map[ring][]jose.Algorithm{
		own:     {jose.ES256},
		access:  jose.Algorithms(),
		foreign: {jose.RS256},
	}
)

func (b *bootstrap) verify(token string) (*signedToken, error) {
	parsed, err := jose.Parse(token)
	if err != nil {
		return nil, err
	}
	t := &signedToken{keyID: parsed.KeyID, from: b.signer(parsed.KeyID)}
	if _, ok := b.keys(t.from).Find(parsed.KeyID); !ok {
		return nil, jose.ErrUnknownKey // said before the algorithm, which is each ring's own
	}
	if err := parsed.Verify(b.keys(t.from), algorithms[t.from]); err != nil {
		return nil, err
	}
	if t.claims, err = jose.ParseClaims(parsed.Payload); err != nil {
		return nil, err
	}
	if t.from == foreign {
		// The foreign interface signs whatever it is given under one type, and numbers nothing. Its
		// algorithm is not malleable, so the signed bytes name the credential.
		sum := sha256.Sum256([]byte(token[:strings.LastIndexByte(token, '.')]))
		t.id = "st-" + hex.EncodeToString(sum[:16])
		return t, nil
	}
	switch t.id = t.claims.ID; {
	case t.from == own && parsed.Type != BootstrapType:
		return nil, errType
	case t.id == "":
		return nil, errNoID
	}
	return t, nil
}

// reason names a failure for the audit log.
func reason(err error) string {
	switch {
	case errors.Is(err, errType):
		return "wrong_type"
	case errors.Is(err, jose.ErrUnknownKey), errors.Is(err, jose.ErrNoKey):
		return "unknown_key"
	case errors.Is(err, jose.ErrSignature):
		return "bad_signature"
	default:
		return "malformed"
	}
}
