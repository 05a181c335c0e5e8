package client

import (
	"context"
	"errors"

	"github.com/watchword-dev/watchword/api"
)

// ClientSecretPost sends the client secret in the body (RFC 6749, section 2.3.1).
func ClientSecretPost(clientID string, secret CredentialSource) *Auth {
	return needSecret(newAuth(api.ClientSecretPost, clientID, func(ctx context.Context, r *tokenRequest) error {
		s, err := secretOf(ctx, secret)
		if err != nil {
			return err
		}
		r.form.Set("client_id", clientID)
		r.form.Set("client_secret", s)
		return nil
	}), secret)
}

func needSecret(a *Auth, secret CredentialSource) *Auth {
	if secret == nil && a.err == nil {
		a.err = errors.New(a.name + " needs a secret, for instance client.File(path)")
	}
	return a
}
