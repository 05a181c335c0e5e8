package endpoint

import (
	"encoding/json"
	"net/http"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Facts are what the metadata says that the endpoints themselves do not know.
type Facts struct {
	// Methods are the names of the ways in which clients prove themselves.
	Methods []string
	// AssertionAlgorithms sign assertions, ProofAlgorithms proofs of a key, TokenAlgorithms access
	// tokens, and AnswerAlgorithm the answers of introspection.
	AssertionAlgorithms, ProofAlgorithms, TokenAlgorithms []string
	AnswerAlgorithm                                       string
	// Certificates says that clients can present certificates.
	Certificates bool
	// AuthorizationEndpoint names one, for clients that insist. There is none.
	AuthorizationEndpoint bool
}

// document is the metadata: RFC 8414, section 2, and for clients that look for OpenID Connect
// Discovery 1.0, section 3, what that requires. An empty list is one, and not nothing.
type document struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint         string   `json:"token_endpoint"`
	JWKS                  string   `json:"jwks_uri"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	GrantTypes            []string `json:"grant_types_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	TokenAlgorithms       []string `json:"id_token_signing_alg_values_supported"`

	TokenAuth                   []string `json:"token_endpoint_auth_methods_supported"`
	TokenAuthAlgorithms         []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	IntrospectionAuth           []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAuthAlgorithms []string `json:"introspection_endpoint_auth_signing_alg_values_supported"`
	RevocationAuth              []string `json:"revocation_endpoint_auth_methods_supported"`
	RevocationAuthAlgorithms    []string `json:"revocation_endpoint_auth_signing_alg_values_supported"`

	ProofAlgorithms  []string `json:"dpop_signing_alg_values_supported"`
	AnswerAlgorithms []string `json:"introspection_signing_alg_values_supported"`
	CertificateBound bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	Aliases          *aliases `json:"mtls_endpoint_aliases,omitempty"`
}

// aliases are where a client that presents a certificate goes: where all others go too (RFC 8705,
// section 5).
type aliases struct {
	Token         string `json:"token_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
}

// metadata answers with the authorization server's metadata, which is the same whatever the request says. table
// has the endpoints that it names.
func (e *endpoints) metadata(table []Endpoint) web.HandlerFunc {
	body, _ := json.Marshal(e.document(table)) // strings and lists of them
	body = append(body, '\n')
	etag := web.ETag(body)
	return func(w http.ResponseWriter, r *http.Request) error {
		h := w.Header()
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("Access-Control-Allow-Origin", "*") // it is public
		web.WriteCached(w, r, "application/json", etag, body)
		return nil
	}
}

func (e *endpoints) document(table []Endpoint) document {
	f := e.o.Facts
	methods := []string{}
	for _, m := range f.Methods {
		if m != api.Bootstrap { // our own; no client of others knows it
			methods = append(methods, m)
		}
	}
	at := map[string]string{}
	for _, p := range table {
		at[p.Member] = e.o.Issuer + p.Path
	}
	m := document{
		Issuer: e.o.Issuer, TokenEndpoint: at["token_endpoint"], JWKS: at["jwks_uri"],
		IntrospectionEndpoint: at["introspection_endpoint"], RevocationEndpoint: at["revocation_endpoint"],
		ResponseTypes: []string{}, SubjectTypes: []string{"public"}, TokenAlgorithms: f.TokenAlgorithms,
		TokenAuth: methods, TokenAuthAlgorithms: f.AssertionAlgorithms,
		IntrospectionAuth: methods, IntrospectionAuthAlgorithms: f.AssertionAlgorithms,
		RevocationAuth: methods, RevocationAuthAlgorithms: f.AssertionAlgorithms,
		ProofAlgorithms: f.ProofAlgorithms, AnswerAlgorithms: []string{f.AnswerAlgorithm},
	}
	for _, g := range grants {
		m.GrantTypes = append(m.GrantTypes, g.Type)
	}
	if f.Certificates {
		m.CertificateBound = true
		m.Aliases = &aliases{m.TokenEndpoint, m.IntrospectionEndpoint, m.RevocationEndpoint}
	}
	if f.AuthorizationEndpoint {
		m.AuthorizationEndpoint = e.o.Issuer + "/oauth2/authorize"
	}
	return m
}
