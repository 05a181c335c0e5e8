package client

import (
	"context"
	"errors"

	"github.com/watchword-dev/watchword/api"
)

// WorkloadJWT sends a platform token as the client assertion, so that the service needs no secret (RFC 7523, section
// 2.2, with iss and sub of the platform). clientID is the service's name, or empty: then the token alone must tell
// which service it is.
func WorkloadJWT(clientID string, platform PlatformTokenSource) *Auth {
	return byPlatform(api.WorkloadJWT, assertionType, clientID, platform)
}

// SPIFFEJWT sends a JWT-SVID as the client assertion (draft-ietf-oauth-spiffe-client-auth-02). clientID is the
// service's name, its SPIFFE ID, or empty: then the SPIFFE ID in the JWT-SVID alone must tell which service it is.
func SPIFFEJWT(clientID string, platform PlatformTokenSource) *Auth {
	return byPlatform(api.SPIFFEJWT, spiffeAssertionType, clientID, platform)
}

func byPlatform(name, kind, clientID string, platform PlatformTokenSource) *Auth {
	a := &Auth{name: name, clientID: clientID, platform: platform, prove: func(ctx context.Context, r *tokenRequest) error {
		token, err := platformToken(ctx, platform, r.issuer)
		if err != nil {
			return err
		}
		if clientID != "" {
			r.form.Set("client_id", clientID)
		}
		r.assert(kind, token)
		return nil
	}}
	if platform == nil {
		a.err = errors.New(name + " needs a platform token, for instance client.TokenFile(path)")
	}
	return a
}

// SPIFFEX509 authenticates with Config.Certificate, which is an X.509-SVID (draft-ietf-oauth-spiffe-client-auth-02).
// clientID is the SPIFFE ID in it.
func SPIFFEX509(clientID string) *Auth { return byCertificate(api.SPIFFEX509, clientID) }
