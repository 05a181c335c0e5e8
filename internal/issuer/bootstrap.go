package issuer

import (
	"context"
	"fmt"

	"github.com/watchword-dev/watchword/internal/clientauth"
	"github.com/watchword-dev/watchword/internal/directory"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/keys"
)

// BootstrapCredential records and signs a long-lived credential for a service. The token is
// returned this once and kept nowhere.
//
// It is signed with a key of its own ring, which is never published: no callee can take
// a credential for an access token, whatever it forgets to check.
func (i *Issuer) BootstrapCredential(ctx context.Context, by directory.Author, service string, n directory.NewCredential) (directory.Credential, string, error) {
	signer, err := i.keys.Signer(keys.UseCredential, jose.ES256)
	if err != nil {
		return directory.Credential{}, "", fmt.Errorf("%w: no key to sign credentials with: %w", ErrUnavailable, err)
	}
	c, err := i.directory.AddCredential(ctx, by, service, n)
	if err != nil {
		return directory.Credential{}, "", err
	}
	owner, ok := i.directory.Snapshot().ServiceByUID(c.Service)
	if !ok { // deleted a moment ago
		return directory.Credential{}, "", fmt.Errorf("service %q: %w", service, directory.ErrNotFound)
	}
	token, err := signer.Sign(clientauth.BootstrapType, i.claims.payload(&claims{
		subject: owner.Name, audiences: []string{i.o.PlainIssuer}, id: c.ID, issuedAt: c.CreatedAt, expiry: c.ExpiresAt,
	}))
	if err != nil {
		return directory.Credential{}, "", fmt.Errorf("%w: sign credential: %w", ErrUnavailable, err)
	}
	return c, token, nil
}
