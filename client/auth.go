package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// Auth is how a client authenticates at the OAuth token endpoint (RFC 6749, section 2.3). Methods lists the
// functions that return one.
type Auth struct {
	name        string
	clientID    string
	certificate bool                // it uses the certificate of the connection, so Config.Certificate is required
	platform    PlatformTokenSource // whose tokens it sends, or nil
	err         error
	prove       func(context.Context, *tokenRequest) error
}

// Method returns the name of the method, as authorization servers publish it.
func (a *Auth) Method() string { return a.name }

// String returns the method and, if it sends platform tokens, where they come from.
func (a *Auth) String() string {
	if a.platform == nil {
		return a.name
	}
	return a.name + " with " + nameOf(a.platform)
}

// Method is an authentication method, for programs that let their users choose one.
type Method struct {
	Name string // as in token_endpoint_auth_methods_supported (RFC 8414, section 2), except for bootstrap and workload_jwt
	// Needs are the fields of Identity that New uses, and Certificate where Config.Certificate is required.
	Needs []string
	New   func(Identity) *Auth
}

// Identity contains what the methods need. Each method uses only some of the fields.
type Identity struct {
	ClientID   string              // the service's name, or its SPIFFE ID for spiffe_x509
	Secret     CredentialSource    // a client secret
	Key        KeySource           // a private key
	Credential CredentialSource    // a bootstrap credential
	Platform   PlatformTokenSource // tokens of the platform that runs this process
}

// Methods returns all methods of authentication at the OAuth token endpoint.
func Methods() []Method {
	return []Method{
		{api.ClientSecretBasic, []string{"ClientID", "Secret"}, func(i Identity) *Auth { return ClientSecretBasic(i.ClientID, i.Secret) }},
		{api.ClientSecretPost, []string{"ClientID", "Secret"}, func(i Identity) *Auth { return ClientSecretPost(i.ClientID, i.Secret) }},
		{api.PrivateKeyJWT, []string{"ClientID", "Key"}, func(i Identity) *Auth { return PrivateKeyJWT(i.ClientID, i.Key) }},
		{api.TLSClientAuth, []string{"ClientID", "Certificate"}, func(i Identity) *Auth { return TLSClientAuth(i.ClientID) }},
		{api.SelfSignedTLSClientAuth, []string{"ClientID", "Certificate"}, func(i Identity) *Auth {
			return SelfSignedTLSClientAuth(i.ClientID)
		}},
		{api.Bootstrap, []string{"Credential"}, func(i Identity) *Auth { return BootstrapAssertion(i.Credential) }},
		{api.WorkloadJWT, []string{"Platform"}, func(i Identity) *Auth { return WorkloadJWT(i.ClientID, i.Platform) }},
		{api.SPIFFEJWT, []string{"Platform"}, func(i Identity) *Auth { return SPIFFEJWT(i.ClientID, i.Platform) }},
		{api.SPIFFEX509, []string{"ClientID", "Certificate"}, func(i Identity) *Auth { return SPIFFEX509(i.ClientID) }},
	}
}

// tokenRequest is a request to the token endpoint, to which an Auth adds its proof.
type tokenRequest struct {
	form   url.Values
	header http.Header
	issuer string // the audience of signed proofs
	now    time.Time
	caller string // for messages
}

func newAuth(name, clientID string, prove func(context.Context, *tokenRequest) error) *Auth {
	a := &Auth{name: name, clientID: clientID, prove: prove}
	if clientID == "" {
		a.err = errors.New(name + " needs a client id, which is the name of this service")
	}
	return a
}

// secretOf returns the secret to use in one request.
func secretOf(ctx context.Context, source CredentialSource) (string, error) {
	c, err := source.Credential(ctx)
	if err == nil {
		err = c.check()
	}
	return c.Reveal(), err
}

// The client_assertion_type of signed proofs (RFC 7523, section 2.2), and of JWT-SVIDs
// (draft-ietf-oauth-spiffe-client-auth-02).
const (
	assertionType       = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	spiffeAssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
)

func (r *tokenRequest) assert(kind, assertion string) {
	r.form.Set("client_assertion_type", kind)
	r.form.Set("client_assertion", assertion)
}
