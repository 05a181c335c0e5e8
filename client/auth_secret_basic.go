package client

import (
	"context"
	"encoding/base64"
	"net/url"

	"github.com/watchword-dev/watchword/api"
)

// ClientSecretBasic sends the client secret in the Authorization header (RFC 6749, section 2.3.1).
func ClientSecretBasic(clientID string, secret CredentialSource) *Auth {
	return needSecret(newAuth(api.ClientSecretBasic, clientID, func(ctx context.Context, r *tokenRequest) error {
		s, err := secretOf(ctx, secret)
		if err != nil {
			return err
		}
		// RFC 6749 requires form-encoding, which does not change the names and secrets of Watchword.
		pair := url.QueryEscape(clientID) + ":" + url.QueryEscape(s)
		r.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(pair)))
		return nil
	}), secret)
}
