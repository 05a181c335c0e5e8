package clientauth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/redact"
)

// NewSecret makes a client secret of 256 random bits, which nobody finds by trying. It has only
// characters that are the same whether a client form-encodes them, as RFC 6749, section 2.3.1 asks,
// or not.
func NewSecret() string {
	var b [32]byte
	rand.Read(b[:])
	return redact.ClientSecret + base64.RawURLEncoding.EncodeToString(b[:])
}

// HashSecret is what is stored of a secret: HMAC-SHA256 under pepper, hexadecimal. Who reads the
// database cannot even try secrets. There is no slow hash: it protects short secrets, and these are
// not (NIST SP 800-63B, section 5.1.2.2); it would let anyone keep a server busy.
func HashSecret(pepper []byte, secret string) string {
	h := hmac.New(sha256.New, pepper)
	h.Write([]byte(secret))
	return hex.EncodeToString(h.Sum(nil))
}

// secret is both methods that send a client secret as it is.
type secret struct {
	o    Options
	name string
	of   func(*Presented) *Secret // nil: none is presented
	*guesses
}

func newSecretBasic(o Options, g *guesses) *secret {
	return &secret{o, api.ClientSecretBasic, func(p *Presented) *Secret { return p.Basic }, g}
}

func newSecretPost(o Options, g *guesses) *secret {
	return &secret{o, api.ClientSecretPost, func(p *Presented) *Secret {
		if p.Post == "" {
			return nil
		}
		return &Secret{p.ClientID, p.Post}
	}, g}
}

func (m *secret) Name() string { return m.name }

func (m *secret) Presents(p *Presented) bool { return m.of(p) != nil }

// Authenticate takes as long, and answers in the same way, for a client that does not exist as for
// a wrong secret (CVE-2025-6011): what it finds out is for the audit log.
func (m *secret) Authenticate(_ context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	claimed := m.of(p)
	hash := HashSecret(m.o.Pepper, claimed.Secret)
	g := m.guess(claimed.ClientID, hash, p.Address)
	if wait := m.wait(g, now); wait > 0 {
		return Identity{}, &Failure{Reason: "throttled", Claimed: claimed.ClientID, Kind: Throttled, RetryAfter: wait}
	}
	id, why := m.check(claimed.ClientID, hash, p, s, now)
	if why == "" {
		m.proved(g)
		return id, nil
	}
	f := &Failure{Reason: why, Claimed: claimed.ClientID, CredentialID: id.CredentialID}
	if f.RetryAfter = m.charge(g, now); f.RetryAfter > 0 {
		f.Kind = Throttled
	}
	return Identity{}, f
}

// check is "" and the identity, or why there is none. A secret that is right and may not be used
// is named all the same.
func (m *secret) check(client, hash string, p *Presented, s *directory.Snapshot, now time.Time) (id Identity, why string) {
	id.Service, why = nobody, "unknown_service"
	if svc, ok := s.Service(client); ok {
		id.Service, why = svc, "wrong_secret"
	}
	candidates := s.CredentialsOf(id.Service.UID)
	if len(candidates) == 0 {
		candidates = nothing
	}
	// All are compared, in constant time, whichever is right.
	for _, c := range candidates {
		material := c.Material
		if c.Kind != directory.KindSecret {
			material = noHash
		}
		if subtle.ConstantTimeCompare([]byte(material), []byte(hash)) == 1 {
			id.CredentialID, why = c.ID, usable(c, p, now)
		}
	}
	return id, why
}

// What is looked at where there is nothing, so that it takes as long. noHash is not hexadecimal.
var (
	noHash  = strings.Repeat("x", hex.EncodedLen(sha256.Size))
	nobody  = &directory.Service{}
	nothing = []*directory.Credential{{}}
)

// usable is "" when c may be used for p, else why not.
func usable(c *directory.Credential, p *Presented, now time.Time) (why string) {
	if why := c.Good(now); why != "" {
		return why
	}
	if c.CIDR.IsValid() && !c.CIDR.Contains(p.Address) {
		return "address_not_allowed"
	}
	return ""
}

// Errors of ParseBasic.
var (
	// ErrNotBasic: another scheme.
	ErrNotBasic = errors.New("the Authorization header is not Basic")
	// ErrBasic: Basic, and what follows is not an identifier and a secret.
	ErrBasic = errors.New("the Basic credentials are malformed")
)

// ParseBasic reads the value of an Authorization header: the scheme in any case (RFC 9110, section
// 11.1), and an identifier and a secret, each form-encoded (RFC 6749, section 2.3.1 and appendix
// B). Clients that do not encode send the same bytes, since identifiers and secrets made here have
// none that would change.
func ParseBasic(header string) (*Secret, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return nil, ErrNotBasic
	}
	rest = strings.Trim(rest, " ")
	// Go's base64 passes over line breaks, even when strict.
	raw, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil || strings.ContainsAny(rest, "\r\n") {
		return nil, ErrBasic
	}
	id, secret, ok := strings.Cut(string(raw), ":")
	if !ok {
		return nil, ErrBasic
	}
	for _, s := range []*string{&id, &secret} {
		if *s, err = url.QueryUnescape(*s); err != nil || !utf8.ValidString(*s) || strings.IndexByte(*s, 0) >= 0 {
			return nil, ErrBasic
		}
	}
	return &Secret{id, secret}, nil
}
