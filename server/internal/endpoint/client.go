package endpoint

import (
	"crypto/x509"
	"errors"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// The types of client_assertion (RFC 7523, section 2.2; draft-ietf-oauth-spiffe-client-auth-02).
const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
	svidType      = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
)

// presented collects all that a request says of who sent it. It decides nothing: that several
// proofs are one too many is for clientauth to say.
func (e *endpoints) presented(q *request) (clientauth.Presented, *problem) {
	p := clientauth.Presented{
		ClientID:  q.form.get("client_id"),
		Post:      q.form.get("client_secret"),
		Assertion: q.form.get("client_assertion"),
		Address:   q.from.Address,
	}
	switch t := q.form.get("client_assertion_type"); {
	case (t == "") != (p.Assertion == ""):
		return p, malformed("half_an_assertion", "client_assertion and client_assertion_type belong together")
	case t == svidType:
		p.AssertsSVID = true
	case t != "" && t != assertionType:
		return p, &problem{kind: issuer.InvalidToken, reason: "unsupported_assertion_type"}
	}
	var bad *problem
	if p.Basic, bad = basic(q.r.Header["Authorization"]); bad != nil {
		return p, bad
	}
	p.Certificates, bad = e.certificates(q)
	return p, bad
}

// certificates are those that the client presented, to this server or to a proxy in front of it. At
// POST /accesstoken they prove nothing, and a token may be bound to them.
func (e *endpoints) certificates(q *request) ([]*x509.Certificate, *problem) {
	all, err := e.o.Front.Certificates(q.r.TLS, q.r.Header, web.Peer(q.r))
	if err != nil {
		return nil, malformed("malformed_certificate_header", err.Error())
	}
	return all, nil
}

// basic reads the Authorization header.
func basic(values []string) (*clientauth.Secret, *problem) {
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, twoCredentials()
	}
	secret, err := clientauth.ParseBasic(values[0])
	switch {
	case errors.Is(err, clientauth.ErrNotBasic):
		return nil, &problem{kind: issuer.InvalidToken, reason: "not_basic", text: "only Basic is known in the Authorization header here"}
	case err != nil:
		return nil, &problem{kind: issuer.InvalidToken, reason: "malformed"}
	}
	return secret, nil
}

func twoCredentials() *problem {
	return malformed("two_credentials", "send exactly one Authorization header")
}

// proof is the proof of a key that came with a request to the endpoint at path (RFC 9449, section 4.3).
func (e *endpoints) proof(q *request, path string) issuer.Proof {
	return issuer.Proof{Headers: q.r.Header["Dpop"], Method: q.r.Method, URL: e.o.Issuer + path}
}
