package client

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Auth is a way for a client to prove itself at the OAuth token endpoint (RFC 6749, section
// 2.3). Methods lists the functions that make one.
type Auth struct {
	name        string
	clientID    string
	certificate bool // the proof is that of the connection: Config.Certificate is required
	err         error
	prove       func(context.Context, *tokenRequest) error
}

// Method is the name of the method, as authorization servers publish it.
func (a *Auth) Method() string { return a.name }

// Method is one way to authenticate, for programs that let their users choose.
type Method struct {
	Name string // in token_endpoint_auth_methods_supported (RFC 8414, section 2), but for bootstrap
	New  func(Identity) *Auth
}

// Identity is what methods make their proofs of; each takes what it needs.
type Identity struct {
	ClientID   string           // the service's name
	Secret     CredentialSource // a client secret
	Key        KeySource        // a private key
	Credential CredentialSource // a bootstrap credential
}

// Methods are all ways to authenticate at the OAuth door.
func Methods() []Method {
	return []Method{
		{"client_secret_basic", func(i Identity) *Auth { return ClientSecretBasic(i.ClientID, i.Secret) }},
		{"client_secret_post", func(i Identity) *Auth { return ClientSecretPost(i.ClientID, i.Secret) }},
		{"private_key_jwt", func(i Identity) *Auth { return PrivateKeyJWT(i.ClientID, i.Key) }},
		{"tls_client_auth", func(i Identity) *Auth { return TLSClientAuth(i.ClientID) }},
		{"self_signed_tls_client_auth", func(i Identity) *Auth { return SelfSignedTLSClientAuth(i.ClientID) }},
		{"bootstrap", func(i Identity) *Auth { return BootstrapAssertion(i.Credential) }},
	}
}

// tokenRequest is a request to the token endpoint in the making. A proof is added to it.
type tokenRequest struct {
	form   url.Values
	header http.Header
	issuer string // whom a signed proof is for
	now    time.Time
	caller string // for messages
}

func newAuth(name, clientID string, prove func(context.Context, *tokenRequest) error) *Auth {
	a := &Auth{name: name, clientID: clientID, prove: prove}
	if clientID == "" {
		a.err = errors.New(name + " needs a client id: the name of this service")
	}
	return a
}

// secretOf reads a secret for one request.
func secretOf(ctx context.Context, source CredentialSource) (string, error) {
	c, err := source.Credential(ctx)
	if err == nil {
		err = c.check()
	}
	return c.Reveal(), err
}

// assertionType is the client_assertion_type of signed proofs (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func (r *tokenRequest) assert(assertion string) {
	r.form.Set("client_assertion_type", assertionType)
	r.form.Set("client_assertion", assertion)
}
