package client

import (
	"context"
	"encoding/base64"
	"net/url"
)

// ClientSecretBasic sends the client secret in the Authorization header (RFC 6749, section 2.3.1).
func ClientSecretBasic(clientID string, secret CredentialSource) *Auth {
	return needSecret(newAuth("client_secret_basic", clientID, func(ctx context.Context, r *tokenRequest) error {
		s, err := secretOf(ctx, secret)
		if err != nil {
			return err
		}
		// Both are form-encoded first, which changes nothing in Watchword's own names and secrets.
		pair := url.QueryEscape(clientID) + ":" + url.QueryEscape(s)
		r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		return nil
	}), secret)
}
