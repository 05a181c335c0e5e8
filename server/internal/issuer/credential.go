package issuer

import (
	"context"
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// Credential records a credential for a service. The secret is what the service has to keep: of
// a bootstrap credential the token, of a client secret itself. It is made here, returned this once and
// kept nowhere. Of other kinds the service has the secret half already: there is none.
func (i *Issuer) Credential(ctx context.Context, by directory.Author, service string, n directory.NewCredential) (c directory.Credential, secret string, err error) {
	switch n.Kind {
	case "", directory.KindBootstrap, directory.KindSecret:
		if n.Material, secret, err = i.newSecret(n.Kind); err != nil {
			return c, "", err
		}
	}
	if c, err = i.directory.AddCredential(ctx, by, service, n); err != nil {
		return c, "", err
	}
	return i.withToken(c, secret)
}

// RotateCredential creates a credential that replaces one that this server made: see directory.RotateCredential.
func (i *Issuer) RotateCredential(ctx context.Context, by directory.Author, id string, overlap time.Duration) (fresh, old directory.Credential, secret string, err error) {
	fresh, old, err = i.directory.RotateCredential(ctx, by, id, overlap, func(kind directory.Kind) (material string, err error) {
		material, secret, err = i.newSecret(kind)
		return material, err
	})
	if err != nil {
		return fresh, old, "", err
	}
	fresh, secret, err = i.withToken(fresh, secret)
	return fresh, old, secret, err
}

// newSecret makes the secret of a credential, unless it is signed after it is recorded, and what
// is stored of it.
func (i *Issuer) newSecret(kind directory.Kind) (material, secret string, err error) {
	switch kind {
	case "", directory.KindBootstrap:
		if _, err = i.credentialSigner(); err != nil {
			return "", "", err
		}
		return "", "", nil
	case directory.KindSecret:
		secret = clientauth.NewSecret()
		return clientauth.HashSecret(i.o.Pepper, secret), secret, nil
	}
	return "", "", &directory.InvalidError{Field: "id", Problem: "is of a kind whose secret the server does not create; register a new credential, and revoke this one when it is no longer used"}
}

// withToken signs the token of a bootstrap credential.
//
// It is signed with a key of its own ring, which is never published: no callee can take
// a credential for an access token, whatever it forgets to check.
func (i *Issuer) withToken(c directory.Credential, secret string) (directory.Credential, string, error) {
	if c.Kind != directory.KindBootstrap {
		return c, secret, nil
	}
	signer, err := i.credentialSigner()
	if err != nil {
		return directory.Credential{}, "", err
	}
	owner, ok := i.directory.Snapshot().ServiceByUID(c.Service)
	if !ok { // deleted a moment ago
		return directory.Credential{}, "", fmt.Errorf("service of credential %s: %w", c.ID, directory.ErrNotFound)
	}
	token, err := signer.Sign(clientauth.BootstrapType, i.claims.payload(&claims{
		subject: owner.Name, audiences: []string{i.o.PlainIssuer}, id: c.ID, issuedAt: c.CreatedAt, expiry: c.ExpiresAt,
	}))
	if err != nil {
		return directory.Credential{}, "", fmt.Errorf("%w: sign credential: %w", ErrUnavailable, err)
	}
	return c, token, nil
}

func (i *Issuer) credentialSigner() (*jose.Signer, error) {
	signer, err := i.keys.Signer(keys.UseCredential, jose.ES256)
	if err != nil {
		return nil, fmt.Errorf("%w: no key to sign credentials with: %w", ErrUnavailable, err)
	}
	return signer, nil
}
