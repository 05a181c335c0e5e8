package client

import "context"

// TLSClientAuth proves the client by Config.Certificate, which an authority the server trusts has
// issued for a subject that the server knows (RFC 8705, section 2.1).
func TLSClientAuth(clientID string) *Auth { return byCertificate("tls_client_auth", clientID) }

// SelfSignedTLSClientAuth proves the client by Config.Certificate, which is registered with the
// server as it is (RFC 8705, section 2.2).
func SelfSignedTLSClientAuth(clientID string) *Auth {
	return byCertificate("self_signed_tls_client_auth", clientID)
}

func byCertificate(name, clientID string) *Auth {
	a := newAuth(name, clientID, func(_ context.Context, r *tokenRequest) error {
		r.form.Set("client_id", clientID) // RFC 8705, section 2: required
		return nil
	})
	a.certificate = true
	return a
}
