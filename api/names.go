package api

import "github.com/watchword-dev/watchword/internal/jose"

// Name is one of a list of names that requests and answers have, such as an authentication method. Everything that
// offers or checks such names ranges over the functions below: the metadata, the OpenAPI document, the schema of call
// map files, and the flags of the command line.
type Name struct {
	Name  string // as it travels
	Short string // what the command line accepts too; empty: nothing
	Doc   string // a sentence
}

// Names of the methods with which a service can authenticate (IANA, OAuth Token Endpoint Authentication Methods;
// bootstrap is Watchword's own).
const (
	ClientSecretBasic       = "client_secret_basic"
	ClientSecretPost        = "client_secret_post"
	PrivateKeyJWT           = "private_key_jwt"
	TLSClientAuth           = "tls_client_auth"
	SelfSignedTLSClientAuth = "self_signed_tls_client_auth"
	Bootstrap               = "bootstrap"
	WorkloadJWT             = "workload_jwt" // Watchword's own name for an assertion of RFC 7523 that a platform signed
	SPIFFEJWT               = "spiffe_jwt"   // draft-ietf-oauth-spiffe-client-auth-02
	SPIFFEX509              = "spiffe_x509"  // likewise
)

// AuthMethods returns all methods with which a service can authenticate.
func AuthMethods() []Name {
	return []Name{
		{ClientSecretBasic, "secret-basic", "A client secret in the Authorization header (RFC 6749, section 2.3.1)."},
		{ClientSecretPost, "secret-post", "A client secret in the body (RFC 6749, section 2.3.1)."},
		{PrivateKeyJWT, "private-key-jwt", "An assertion that is signed with a key of the service (RFC 7523)."},
		{TLSClientAuth, "tls", "A certificate of an authority that the server trusts (RFC 8705, section 2.1)."},
		{SelfSignedTLSClientAuth, "self-signed-tls", "A certificate that is registered with the server (RFC 8705, section 2.2)."},
		{Bootstrap, "", "The long-lived token of POST /accesstoken."},
		{WorkloadJWT, "workload-jwt", "A token of a platform that the server trusts, such as Kubernetes (RFC 7523)."},
		{SPIFFEJWT, "spiffe-jwt", "A JWT-SVID of a SPIFFE trust domain that the server trusts."},
		{SPIFFEX509, "spiffe-x509", "An X.509-SVID of a SPIFFE trust domain that the server trusts."},
	}
}

// Grant types of the OAuth token endpoint.
const (
	GrantClientCredentials = "client_credentials"                              // RFC 6749, section 4.4
	GrantTokenExchange     = "urn:ietf:params:oauth:grant-type:token-exchange" // RFC 8693
	GrantJWTBearer         = "urn:ietf:params:oauth:grant-type:jwt-bearer"     // RFC 7523, section 2.1
)

// GrantTypes returns all grant types of the OAuth token endpoint.
func GrantTypes() []Name {
	return []Name{
		{GrantClientCredentials, "", "A token for the service itself (RFC 6749, section 4.4)."},
		{GrantTokenExchange, "token-exchange", "A token in exchange for one that the service received (RFC 8693)."},
		{GrantJWTBearer, "jwt-bearer", "A token for an assertion (RFC 7523)."},
	}
}

// Algorithms returns the algorithms that can sign access tokens.
func Algorithms() (all []Name) {
	for _, a := range jose.Algorithms() {
		all = append(all, Name{Name: string(a)})
	}
	return all
}

// How the tokens that a service gets must be bound to a key of its own. Empty: they need not be.
const (
	BindingRequired = "required"
	BindingDPoP     = "dpop"
	BindingMTLS     = "mtls"
)

// Bindings returns all ways in which tokens can have to be bound.
func Bindings() []Name {
	return []Name{
		{BindingRequired, "", "By DPoP or by a client certificate."},
		{BindingDPoP, "", "By DPoP (RFC 9449)."},
		{BindingMTLS, "", "By a client certificate (RFC 8705)."},
	}
}

// Exchanges returns what a rule can allow its caller to do with the tokens that the caller receives.
func Exchanges() []Name {
	return []Name{
		{"delegate", "", "A token that names the caller as the actor."},
		{"impersonate", "", "Also a token that does not name the caller."},
	}
}

// Chains returns what a rule can require of the chain of services in a request.
func Chains() []Name {
	return []Name{
		{"any", "", "The caller may act on behalf of another service."},
		{"direct", "", "The caller does not act on behalf of another service."},
	}
}

// KeyUses returns what signing keys sign.
func KeyUses() []Name {
	return []Name{
		{"access", "", "Access tokens. Only these keys are published."},
		{"credential", "", "Bootstrap credentials."},
		{"audit", "", "Checkpoints of the audit log."},
	}
}

// Kinds of credentials.
const (
	KindBootstrap   = "bootstrap"
	KindSecret      = "secret"
	KindKey         = "key"
	KindJWKS        = "jwks"
	KindCertificate = "certificate"
	KindTLSSubject  = "tls_subject"
	KindWorkload    = "workload"
)

// CredentialKinds returns all kinds of credentials.
func CredentialKinds() []Name {
	return []Name{
		{KindBootstrap, "", "A long-lived JWT."},
		{KindSecret, "", "A client secret that the server makes."},
		{KindKey, "", "A public key, whose private half signs assertions."},
		{KindJWKS, "", "A URL at which the service publishes such keys."},
		{KindCertificate, "", "A self-signed certificate."},
		{KindTLSSubject, "tls-subject", "A name in certificates of an authority that the server trusts."},
		{KindWorkload, "", "Claims that a token of a trust, an outside issuer, must have."},
	}
}

// NamesOf returns the names as they travel.
func NamesOf(list []Name) []string {
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = n.Name
	}
	return names
}
