// Package clientauth proves which service is asking, from what it presented. It does not
// know what is asked for, and tells why a proof failed only to the audit log.
//
// One file a method. A new method is a file here, a field of Presented and a line in methods.
package clientauth

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/once"
)

// Presented is what a request carried to prove who sent it. Most fields are secrets.
type Presented struct {
	// Bearer is the token of an Authorization: Bearer header, at /accesstoken.
	Bearer string
	// ClientID is the client_id of the form (RFC 6749, section 2.3.1), empty when absent. Where
	// the proof names a client too, both must be one.
	ClientID string
	// Basic is the Authorization: Basic header, decoded (RFC 6749, section 2.3.1). Nil: none.
	Basic *Secret
	// Post is the client_secret of the form, with ClientID. Empty: none.
	Post string
	// Assertion is a client_assertion of the type jwt-bearer (RFC 7523, section 2.2) or, with AssertsSVID, of the type
	// jwt-spiffe (draft-ietf-oauth-spiffe-client-auth-02).
	Assertion   string
	AssertsSVID bool
	// Certificates are the client's, of its TLS connection or from a trusted proxy, its own one
	// first. That it has the private key is proved; nothing else is.
	Certificates []*x509.Certificate
	// Address the request came from.
	Address netip.Addr

	parsed   *parsed
	platform *parsedPlatform
	own      []string // the issuers that are this server, which is no platform
}

// parsed is what came of reading an assertion: several methods look at it.
type parsed struct {
	from  string
	token *jose.Token
	err   error
}

// assertion is p.Assertion, read. Nothing of it is believed yet.
func (p *Presented) assertion() (*jose.Token, error) {
	if p.parsed == nil || p.parsed.from != p.Assertion {
		t, err := jose.Parse(p.Assertion)
		p.parsed = &parsed{p.Assertion, t, err}
	}
	return p.parsed.token, p.parsed.err
}

// isBootstrap looks at the type the assertion gives itself.
func (p *Presented) isBootstrap() bool {
	if p.Assertion == "" || p.AssertsSVID {
		return false
	}
	t, err := p.assertion()
	return err == nil && t.Type == BootstrapType
}

// Secret is a client identifier and its secret.
type Secret struct{ ClientID, Secret string }

// Identity is the service that asks, and the credential that proved it.
type Identity struct {
	Service      *directory.Service
	CredentialID string
	// Method is the Name of the method.
	Method string
	// Once is what this proof uses up, to be used before anything is granted: the jti of an
	// assertion.
	Once []once.Entry
	// Depends is the generation of the trust that vouched for the service, on which tokens depend too. Empty: none did.
	Depends string
	// Until is when the proof ends: no token that it brings lives longer. Zero: it does not end.
	Until time.Time
}

// Failure is a proof that failed. Nothing in it is for the caller.
type Failure struct {
	// Reason is for the audit log: "expired", "audience_mismatch", ...
	Reason string
	// Claimed is the name the proof bore: when its signature was good or, for a secret, as sent. With Away it is
	// that of the service whose keys cannot be had.
	Claimed string
	// CredentialID is the credential's id, when its signature was good or, with Away, when it says where the keys are.
	CredentialID string
	// Kind is what the caller may know.
	Kind FailureKind
	// RetryAfter is with Throttled how long to wait.
	RetryAfter time.Duration
	// Cause is with Away what cannot be had, for the log of the server.
	Cause error
	// Findings are the claims of a platform's token that are not as they are wanted.
	Findings []api.ClaimFinding

	attention bool // a workload caused it, and not anybody could: an operator should look at it
}

// FailureKind is all a caller may know of a failure.
type FailureKind int

// The kinds of failure.
const (
	Refused   FailureKind = iota // the proof is not good
	Missing                      // there is none
	Malformed                    // two of them, or two clients (RFC 6749, section 2.3)
	Throttled                    // too many failures for this client from this address
	Away                         // what is needed to check it cannot be had now
)

func (f *Failure) Error() string {
	if f.Cause != nil {
		return "authentication failed: " + f.Reason + ": " + f.Cause.Error()
	}
	return "authentication failed: " + f.Reason
}

func (f *Failure) Unwrap() error { return f.Cause }

// Method proves an identity in one way.
type Method interface {
	// Name is one of api.AuthMethods.
	Name() string
	// Presents reports whether p carries a proof of this method.
	Presents(p *Presented) bool
	// Authenticate checks the proof against the directory as it stands.
	Authenticate(ctx context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure)
}

// Options of an Authenticator.
type Options struct {
	// PlainIssuer is both issuer and audience of bootstrap credentials, as in "auth-server".
	PlainIssuer string
	// Issuer is the URL that assertions name as their audience.
	Issuer string
	// TokenEndpoint is what assertions of services with TokenEndpointAudience may name instead.
	TokenEndpoint string
	// Pepper is the key under which client secrets are hashed. Empty: those methods are off.
	Pepper []byte
	// ClientCAs sign the certificates of tls_client_auth; they are asked for anew each time. Nil: that
	// method is off.
	ClientCAs func() *x509.CertPool
	// Certificates says that clients can present certificates: the public listener speaks TLS, or a
	// proxy that does is trusted.
	Certificates bool
	// JWKSNetworks are networks, besides public addresses, in which the keys of services and of trusts may be.
	JWKSNetworks []netip.Prefix
	// Credentials are the keys that sign bootstrap credentials.
	Credentials func() *jose.KeySet
	// Access are the keys that sign access tokens. None of them proves anything here: they are
	// asked for so that the audit log can say that a callee replayed its caller's token.
	Access func() *jose.KeySet
	// Logger is told when the keys of a trust cannot be had. Nil: nobody is.
	Logger *slog.Logger
	// Foreign are keys of others whose bootstrap credentials are honoured too: those of the
	// SuperTokens interface while the operator trusts it for that. Nil: nobody's.
	Foreign func() *jose.KeySet
}

// methods are the ways in which a service can prove itself, as far as o has what they need.
func methods(o Options, workloads *workloads) []Method {
	guesses := newGuesses() // of both ways to send a secret
	table := []struct {
		on     bool
		method Method
	}{
		{true, newBootstrap(o)},
		{len(o.Pepper) > 0, newSecretBasic(o, guesses)},
		{len(o.Pepper) > 0, newSecretPost(o, guesses)},
		{true, newPrivateKey(o)},
		{o.Certificates && o.ClientCAs != nil, newTLSClient(o)},
		{o.Certificates, newSelfSignedTLSClient()},
		{true, &workloadJWT{api.WorkloadJWT, false, workloads}},
		{true, &workloadJWT{api.SPIFFEJWT, true, workloads}},
		{o.Certificates, newSPIFFEX509(workloads)},
	}
	var methods []Method
	for _, row := range table {
		if row.on {
			methods = append(methods, row.method)
		}
	}
	return methods
}

// Authenticator tries the one method whose proof is presented.
type Authenticator struct {
	methods   []Method
	workloads *workloads
	own       []string // the issuers that are this server
}

// New makes an authenticator of all methods.
func New(o Options) *Authenticator {
	workloads := newWorkloads(o)
	return &Authenticator{methods(o, workloads), workloads, []string{o.PlainIssuer, o.Issuer}}
}

// Names of the methods, for the metadata.
func (a *Authenticator) Names() (names []string) {
	for _, m := range a.methods {
		names = append(names, m.Name())
	}
	return names
}

// Authenticate determines which service presented p.
func (a *Authenticator) Authenticate(ctx context.Context, p *Presented, s *directory.Snapshot, now time.Time) (Identity, *Failure) {
	p.own = a.own
	var method Method
	for _, m := range a.methods {
		if !m.Presents(p) {
			continue
		}
		if method != nil { // RFC 6749, section 2.3: one method a request
			return Identity{}, &Failure{Reason: "two_methods", Kind: Malformed}
		}
		method = m
	}
	if method == nil {
		return Identity{}, &Failure{Reason: "no_credential", Claimed: p.ClientID, Kind: Missing}
	}
	id, failure := method.Authenticate(ctx, p, s, now)
	if failure != nil {
		return Identity{}, failure
	}
	id.Method = method.Name()
	refuse := func(kind FailureKind, reason string) (Identity, *Failure) {
		return Identity{}, &Failure{Reason: reason, Claimed: id.Service.Name, CredentialID: id.CredentialID, Kind: kind}
	}
	switch {
	case p.ClientID != "" && p.ClientID != id.Service.Name && id.Depends == "": // workloads look at it by themselves
		return refuse(Refused, "client_id_mismatch")
	case !Accepts(id.Service, id.Method):
		return refuse(Refused, "method_not_accepted")
	}
	return id, nil
}

// Accepts reports whether a service may prove itself by a method, as far as its operator has said.
func Accepts(s *directory.Service, method string) bool {
	return len(s.AuthMethods) == 0 || slices.Contains(s.AuthMethods, method)
}
