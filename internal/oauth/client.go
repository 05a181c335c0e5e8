package oauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/watchword-dev/watchword/internal/clientauth"
	"github.com/watchword-dev/watchword/internal/issuer"
)

// assertionType is the client_assertion_type there is (RFC 7523, section 2.2).
const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// presented collects all that a request says of who sent it. It decides nothing: that several
// proofs are one too many is for clientauth to say.
func (d *Doors) presented(q *request) (clientauth.Presented, *problem) {
	p := clientauth.Presented{
		ClientID:  q.form.get("client_id"),
		Post:      q.form.get("client_secret"),
		Assertion: q.form.get("client_assertion"),
		Address:   q.from.Address,
	}
	switch t := q.form.get("client_assertion_type"); {
	case (t == "") != (p.Assertion == ""):
		return p, malformed("half_an_assertion", "client_assertion and client_assertion_type belong together")
	case t != "" && t != assertionType:
		return p, &problem{kind: issuer.InvalidToken, reason: "unsupported_assertion_type"}
	}
	var bad *problem
	if p.Basic, bad = basic(q.r.Header["Authorization"]); bad != nil {
		return p, bad
	}
	p.Certificates, bad = d.certificates(q.r, q.from.Address)
	return p, bad
}

// basic reads the Authorization header.
func basic(values []string) (*clientauth.Secret, *problem) {
	switch len(values) {
	case 0:
		return nil, nil
	case 1:
	default:
		return nil, malformed("two_credentials", "send exactly one Authorization header")
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	// RFC 9110, section 11.1: the scheme is case-insensitive.
	if !strings.EqualFold(scheme, "Basic") {
		return nil, &problem{kind: issuer.InvalidToken, reason: "not_basic", text: "only Basic is known in the Authorization header here"}
	}
	secret, ok := parseBasic(strings.Trim(rest, " "))
	if !ok {
		return nil, &problem{kind: issuer.InvalidToken, reason: "malformed"}
	}
	return secret, nil
}

// parseBasic: RFC 6749, section 2.3.1: both are form-encoded before they are joined.
func parseBasic(s string) (*clientauth.Secret, bool) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, false
	}
	id, secret, ok := strings.Cut(string(raw), ":")
	if !ok {
		return nil, false
	}
	for _, v := range []*string{&id, &secret} {
		if *v, err = url.QueryUnescape(*v); err != nil || !utf8.ValidString(*v) || strings.IndexByte(*v, 0) >= 0 {
			return nil, false
		}
	}
	return &clientauth.Secret{ClientID: id, Secret: secret}, true
}

func (d *Doors) proof(r *http.Request) issuer.Proof {
	return issuer.Proof{Headers: r.Header["Dpop"], Method: r.Method, URL: d.o.Issuer + TokenPath}
}
