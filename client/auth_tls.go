package client

import (
	"context"

	"github.com/watchword-dev/watchword/api"
)

// TLSClientAuth authenticates with Config.Certificate, which an authority that the server trusts has issued for
// the subject that is registered for the client (RFC 8705, section 2.1).
func TLSClientAuth(clientID string) *Auth { return byCertificate(api.TLSClientAuth, clientID) }

// SelfSignedTLSClientAuth authenticates with Config.Certificate, which is itself registered with the server (RFC
// 8705, section 2.2).
func SelfSignedTLSClientAuth(clientID string) *Auth {
	return byCertificate(api.SelfSignedTLSClientAuth, clientID)
}

func byCertificate(name, clientID string) *Auth {
	a := newAuth(name, clientID, func(_ context.Context, r *tokenRequest) error {
		r.form.Set("client_id", clientID) // RFC 8705, section 2: required
		return nil
	})
	a.certificate = true
	return a
}
