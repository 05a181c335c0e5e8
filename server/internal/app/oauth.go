package app

import (
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/endpoint"
)

// endpoints are those that services and verifiers call.
func (s *Server) endpoints() []endpoint.Endpoint {
	return endpoint.Table(s.issuer, s.ring, endpoint.Options{
		Issuer: s.cfg.Issuer, Front: s.front(), Nonce: s.nonce, NonceNeeded: s.cfg.OAuth.DPoPRequireNonce,
		Facts: endpoint.Facts{
			Methods:               s.auth.Names(),
			AssertionAlgorithms:   names(jose.ClientAlgorithms()),
			ProofAlgorithms:       names(jose.ClientAlgorithms()),
			TokenAlgorithms:       names(jose.Algorithms()),
			AnswerAlgorithm:       s.cfg.Signing.Algorithm,
			Certificates:          s.certificates(),
			AuthorizationEndpoint: s.cfg.OAuth.AuthorizationEndpoint,
		},
	})
}

func names(algorithms []jose.Algorithm) (names []string) {
	for _, a := range algorithms {
		names = append(names, string(a))
	}
	return names
}

// front is what the operator named as standing in front of the public listener.
func (s *Server) front() clientauth.Front {
	return clientauth.Front{Networks: s.cfg.Proxy.Networks, Header: s.cfg.Proxy.CertificateHeader}
}

// certificates reports whether clients can present any.
func (s *Server) certificates() bool {
	return s.cfg.TLS.Enabled() || s.cfg.Proxy.CertificateHeader != ""
}

// nonce is what clients are to put into their next proof of a key.
func (s *Server) nonce() string { return s.nonces.Next(s.now()) }
