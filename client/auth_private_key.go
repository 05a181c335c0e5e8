package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// assertionLife is the lifetime of an assertion. It is used once, at once, but clocks differ.
const assertionLife = time.Minute

// PrivateKeyJWT signs an assertion for each request with a key whose public key is registered with the server
// (RFC 7523, section 2.2). Its only audience is the server's issuer identifier, because an assertion for the
// token endpoint could be used at another server that claims the same endpoint
// (draft-ietf-oauth-rfc7523bis; FAPI 2.0 Security Profile, section 5.3.3.1).
func PrivateKeyJWT(clientID string, key KeySource) *Auth {
	a := newAuth(api.PrivateKeyJWT, clientID, func(ctx context.Context, r *tokenRequest) error {
		signer, err := key.load(ctx)
		if err != nil {
			return err
		}
		payload, err := json.Marshal(struct {
			Issuer   string `json:"iss"`
			Subject  string `json:"sub"`
			Audience string `json:"aud"`
			Expiry   int64  `json:"exp"`
			IssuedAt int64  `json:"iat"`
			ID       string `json:"jti"` // 130 random bits
		}{clientID, clientID, r.issuer, r.now.Add(assertionLife).Unix(), r.now.Unix(), rand.Text()})
		if err != nil {
			return fmt.Errorf("encode the client assertion: %w", err)
		}
		assertion, err := signer.Sign("client-authentication+jwt", payload)
		if err != nil {
			return fmt.Errorf("sign the client assertion: %w", err)
		}
		r.assert(assertionType, assertion)
		return nil
	})
	if key.load == nil && a.err == nil {
		a.err = errors.New("private_key_jwt needs a key, for instance client.KeyFile(path)")
	}
	return a
}
