package issuer

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/audit"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// ProbeName is the sub of probe tokens, and the aud of those that are for somebody else. No service
// can have it, so that a probe token speaks for nobody, and what a callee makes of one that is
// not for it opens no other service.
const ProbeName = "watchword-probe"

// ProbeLife is how long a probe token is good.
const ProbeLife = time.Minute

// Signature says how a probe token is signed.
type Signature string

// The signatures. Only the first is one that a callee may take.
const (
	SignedByServer     Signature = ""
	SignedByStranger   Signature = "stranger"   // a key that the server never had, under its own id
	SignedAsServer     Signature = "forged"     // that key, under the id of the server's key
	SignedByEmbedded   Signature = "embedded"   // that key, which the token brings along (RFC 7515, section 4.1.3)
	SignedByCredential Signature = "credential" // the key that signs bootstrap credentials, which is not published
	Unsigned           Signature = "none"       // alg none (RFC 7519, section 6)
	SignedWithPEM      Signature = "hs256-pem"  // HS256 with the server's public key as the secret, in PEM
	SignedWithJWK      Signature = "hs256-jwk"  // the same with the key as a JWK
	Stripped           Signature = "stripped"   // the server's, cut off
)

// ProbeToken says in what a probe token differs from a good one for the service that is probed.
type ProbeToken struct {
	// OAuth: of the issuer of the OAuth doors. Issuer is another one than either.
	OAuth  bool
	Issuer string
	// Audience is another one than the service.
	Audience string
	// Later is how much later than now the token begins to be good, and is said to. Below zero: it began
	// so long ago, and has ended since.
	Later time.Duration
	// Type is another one than that of access tokens.
	Type string
	// Bound: to the key of Prober.Proof (RFC 7800).
	Bound     bool
	Signature Signature
}

// Prober mints the tokens of one probe.
type Prober struct {
	issuer   *Issuer
	by       directory.Author
	service  *directory.Service
	signer   *jose.Signer
	stranger *jose.Signer
	holder   *jose.Signer // of the key that bound tokens are bound to
	deps     []string
}

// Probe begins a probe of a service at a URL. That it was, and by whom, is on disk when it returns.
func (i *Issuer) Probe(ctx context.Context, by directory.Author, service *directory.Service, url string) (*Prober, error) {
	alg := i.o.Algorithm
	if service.Algorithm != "" {
		alg = jose.Algorithm(service.Algorithm)
	}
	p := &Prober{issuer: i, by: by, service: service}
	var err error
	if p.signer, err = i.keys.Signer(keys.UseAccess, alg); err != nil {
		return nil, fmt.Errorf("%w: no key to sign %s with: %w", ErrUnavailable, alg, err)
	}
	if p.stranger, err = throwAway(alg); err != nil {
		return nil, err
	}
	if p.holder, err = throwAway(jose.ES256); err != nil {
		return nil, err
	}
	// What tokens hang on has the shape of a service's identity, and is none.
	var nobody directory.UID
	rand.Read(nobody[:])
	p.deps = []string{directory.FormatUID(nobody)}
	e := audit.Event{
		ID: directory.RandomID(), At: i.o.Now(), Kind: audit.KindMint, Outcome: audit.Allowed, RequestID: by.RequestID,
		Actor: by.Actor, Action: "probe", Subject: directory.SubjectService(service.UID), KeyID: p.signer.ID(),
		Detail: map[string]string{"service": service.Name, "url": url},
	}
	return p, i.record(ctx, e)
}

// throwAway makes a key that is forgotten with the probe. Its id is its thumbprint.
func throwAway(alg jose.Algorithm) (*jose.Signer, error) {
	key, err := jose.GenerateKey(alg)
	if err != nil {
		return nil, err
	}
	id, err := jose.Thumbprint(key.Public())
	if err != nil {
		return nil, err
	}
	return jose.NewSigner(id, alg, key)
}

// Issuers are what iss can be, that of the OAuth doors first.
func (i *Issuer) Issuers() (oauth, plain string) { return i.o.Issuer, i.o.PlainIssuer }

// Token mints a probe token. Whatever t says: it speaks for ProbeName, has the claim "probe", no scope,
// and is good for ProbeLife at most.
func (p *Prober) Token(t ProbeToken) (string, error) {
	typ := AccessTokenType
	if t.Type != "" {
		typ = t.Type
	}
	token, err := p.sign(t.Signature, typ, p.payload(t))
	if err != nil {
		return "", fmt.Errorf("sign probe token: %w", err)
	}
	return token, nil
}

func (p *Prober) payload(t ProbeToken) []byte {
	i := p.issuer
	start := i.o.Now().Add(t.Later).Truncate(time.Second)
	c := claims{
		oauth: t.OAuth, subject: ProbeName, audiences: []string{p.service.Name}, id: directory.RandomID(),
		issuedAt: start, expiry: start.Add(ProbeLife), deps: p.deps,
	}
	if t.Audience != "" {
		c.audiences = []string{t.Audience}
	}
	if t.Later > 0 {
		c.issuedAt = start.Add(-t.Later) // it is nbf that says so
	}
	if t.Bound {
		c.key = p.holder.ID()
	}
	if t.OAuth {
		c.clientID = ProbeName
		if i.o.Status != nil {
			c.statusURI, c.statusIndex = i.o.Status(c.deps)
		}
	}
	builder := i.claims
	if t.Issuer != "" {
		builder = newClaimsBuilder(t.Issuer, t.Issuer)
	}
	if t.Signature == SignedByCredential {
		// As issuer.withToken makes them. It is recorded nowhere, so it proves nothing here.
		c = claims{subject: ProbeName, audiences: []string{i.o.PlainIssuer}, id: c.id, issuedAt: c.issuedAt, expiry: c.expiry}
	}
	b := builder.payload(&c)
	b = b[:len(b)-1]
	if t.Later > 0 {
		b = append(b, `,"nbf":`...)
		b = strconv.AppendInt(b, start.Unix(), 10)
	}
	return append(b, `,"probe":true}`...)
}

func (p *Prober) sign(how Signature, typ string, payload []byte) (string, error) {
	alg := p.signer.Algorithm()
	switch how {
	case SignedByServer:
		return p.signer.Sign(typ, payload)
	case SignedByStranger:
		return p.stranger.Sign(typ, payload)
	case SignedAsServer:
		forger, err := jose.NewSigner(p.signer.ID(), alg, p.stranger.Key())
		if err != nil {
			return "", err
		}
		return forger.Sign(typ, payload)
	case SignedByEmbedded:
		return p.stranger.SignProof(typ, payload)
	case SignedByCredential:
		signer, err := p.issuer.credentialSigner()
		if err != nil {
			return "", err
		}
		return signer.Sign(clientauth.BootstrapType, payload)
	case Unsigned:
		return p.symmetric("none", typ, payload, nil)
	case SignedWithPEM:
		der, err := x509.MarshalPKIXPublicKey(p.signer.Public().Key)
		if err != nil {
			return "", err
		}
		return p.symmetric("HS256", typ, payload, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	case SignedWithJWK:
		jwk, err := p.signer.Public().JWK()
		if err != nil {
			return "", err
		}
		return p.symmetric("HS256", typ, payload, jwk)
	case Stripped:
		token, err := p.signer.Sign(typ, payload)
		return token[:strings.LastIndexByte(token, '.')+1], err
	}
	return "", errors.New("no such signature")
}

// symmetric makes a token of an algorithm that package jose does not know, on purpose, under the id of
// the server's key (RFC 8725, section 2.1).
func (p *Prober) symmetric(alg, typ string, payload, secret []byte) (string, error) {
	header, err := json.Marshal(map[string]string{"alg": alg, "typ": typ, "kid": p.signer.ID()})
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload)
	if secret == nil {
		return input + ".", nil
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

// Revoke revokes a probe token by itself, as an operator would.
func (p *Prober) Revoke(ctx context.Context, token string) error {
	jti, expiry, status, why := p.issuer.Identify(token)
	if why != "" {
		return fmt.Errorf("revoke probe token: it is %s", why)
	}
	return p.issuer.directory.RevokeToken(ctx, p.by, jti, expiry, status)
}

// Proof makes a proof of the key that bound tokens are bound to (RFC 9449, section 4.2), or with stolen
// of another one, as a thief would.
func (p *Prober) Proof(method, url, nonce, token string, stolen bool) (string, error) {
	by := p.holder
	if stolen {
		var err error
		if by, err = throwAway(jose.ES256); err != nil {
			return "", err
		}
	}
	return dpop.NewProof(by, method, url, nonce, token, p.issuer.o.Now())
}

// isProbe says whether c is of a probe token. Only this file mints any for ProbeName.
func isProbe(c *jose.Claims) bool {
	var m struct {
		Probe bool `json:"probe"`
	}
	return c.Subject == ProbeName && json.Unmarshal(c.Raw, &m) == nil && m.Probe
}
