package oauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Facts are what the metadata says that the doors themselves do not know.
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
	CertificateDoors *aliases `json:"mtls_endpoint_aliases,omitempty"`
}

// aliases are where a client that presents a certificate goes: where all others go too (RFC 8705,
// section 5).
type aliases struct {
	Token         string `json:"token_endpoint"`
	Introspection string `json:"introspection_endpoint"`
	Revocation    string `json:"revocation_endpoint"`
}

// MetadataPaths are where the metadata of an issuer is: with the well-known part before the
// issuer's path (RFC 8414, section 3.1) and, as OpenID Connect has it, after it; and at the root,
// for proxies that take the path away.
func MetadataPaths(issuer string) (paths []string) {
	base := BasePath(issuer)
	for _, name := range []string{"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"} {
		paths = append(paths, name)
		if base != "" {
			paths = append(paths, name+base, base+name)
		}
	}
	return paths
}

// BasePath is the path of an issuer, empty when it has none.
func BasePath(issuer string) string {
	u, err := url.Parse(issuer)
	if err != nil {
		return ""
	}
	return u.Path
}

// Metadata is GET /.well-known/oauth-authorization-server. It is the same whatever the request says.
func (d *Doors) Metadata(f Facts) web.HandlerFunc {
	body, _ := json.Marshal(d.document(f)) // strings and lists of them
	body = append(body, '\n')
	sum := sha256.Sum256(body)
	etag := `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return web.Method("GET, HEAD")
		}
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("ETag", etag)
		h.Set("Access-Control-Allow-Origin", "*") // it is public
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		return nil
	}
}

func (d *Doors) document(f Facts) document {
	methods := []string{}
	for _, m := range f.Methods {
		if m != clientauth.Bootstrap { // our own; no client of others knows it
			methods = append(methods, m)
		}
	}
	at := func(path string) string { return d.o.Issuer + path }
	m := document{
		Issuer: d.o.Issuer, TokenEndpoint: at(TokenPath), JWKS: at("/.well-known/jwks.json"),
		IntrospectionEndpoint: at(IntrospectPath), RevocationEndpoint: at(RevokePath),
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
		m.CertificateDoors = &aliases{m.TokenEndpoint, m.IntrospectionEndpoint, m.RevocationEndpoint}
	}
	if f.AuthorizationEndpoint {
		m.AuthorizationEndpoint = at("/oauth2/authorize")
	}
	return m
}
