package issuer

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

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

// ProbeToken says in what a probe token differs from a good one for the service that is probed.
type ProbeToken struct {
	// OAuth: as TokenEndpoint issues them. Issuer is another one than either of the server.
	OAuth  bool
	Issuer string
	// Audience is another one than the service.
	Audience string
	// Later is how much later than now the token begins to be good, and is said to. Below zero: it began
	// so long ago, and has ended since.
	Later time.Duration
	// Type is another one than that of access tokens.
	Type string
	// Key is the RFC 7638 thumbprint of the key it is bound to (RFC 9449, section 6.1). Empty: none.
	Key string
	// Credential: as a bootstrap credential, signed by the key of those, which is not published. It is recorded
	// nowhere, so it proves nothing to this server.
	Credential bool
}

// Prober mints the tokens of one probe.
type Prober struct {
	issuer  *Issuer
	by      directory.Author
	service *directory.Service
	signer  *jose.Signer
	deps    []string
}

// Probe begins a probe of a service at a URL. That it was, and by whom, is on disk when it returns.
func (i *Issuer) Probe(ctx context.Context, by directory.Author, service *directory.Service, url string) (*Prober, error) {
	alg := i.o.Algorithm
	if service.Algorithm != "" {
		alg = jose.Algorithm(service.Algorithm)
	}
	signer, err := i.keys.Signer(keys.UseAccess, alg)
	if err != nil {
		return nil, fmt.Errorf("%w: no key to sign %s with: %w", ErrUnavailable, alg, err)
	}
	// The deps have the shape of a service's identity, and are none.
	var nobody directory.UID
	rand.Read(nobody[:])
	e := audit.Event{
		ID: directory.RandomID(), At: i.o.Now(), Kind: audit.KindMint, Outcome: audit.Allowed, RequestID: by.RequestID,
		Actor: by.Actor, Action: "probe", Subject: directory.SubjectService(service.UID), KeyID: signer.ID(),
		Detail: map[string]string{"service": service.Name, "url": url},
	}
	_, err = i.record(ctx, e)
	return &Prober{i, by, service, signer, []string{directory.FormatUID(nobody)}}, err
}

// Issuers are what iss can be, that of TokenEndpoint first.
func (i *Issuer) Issuers() (oauth, plain string) { return i.o.Issuer, i.o.PlainIssuer }

// Key is the published key that verifies the tokens.
func (p *Prober) Key() jose.PublicKey { return p.signer.Public() }

// Token mints a probe token. Whatever t says: it speaks for ProbeName, has the claim "probe", no scope,
// and is good for ProbeLife at most.
func (p *Prober) Token(t ProbeToken) (token string, err error) {
	switch {
	case t.Credential:
		var signer *jose.Signer
		if signer, err = p.issuer.credentialSigner(); err != nil {
			return "", err
		}
		token, err = signer.Sign(clientauth.BootstrapType, p.payload(t))
	case t.Type != "":
		token, err = p.signer.Sign(t.Type, p.payload(t))
	default:
		token, err = p.signer.Sign(AccessTokenType, p.payload(t))
	}
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
		issuedAt: start, expiry: start.Add(ProbeLife), key: t.Key, targets: []string{directory.FormatUID(p.service.UID)}, deps: p.deps,
	}
	if t.Audience != "" {
		c.audiences, c.targets = []string{t.Audience}, nil
	}
	if t.Later > 0 {
		c.issuedAt = start.Add(-t.Later) // it is nbf that says so
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
	if t.Credential { // as withToken makes them
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

// Revoke revokes a probe token by itself, as an operator would.
func (p *Prober) Revoke(ctx context.Context, token string) error {
	jti, expiry, status, why := p.issuer.Identify(token)
	if why != "" {
		return fmt.Errorf("revoke probe token: it is %s", why)
	}
	return p.issuer.directory.RevokeToken(ctx, p.by, jti, expiry, status)
}
