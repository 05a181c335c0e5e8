package endpoint

import (
	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// accessTokenType and jwtType name what may be exchanged and what is given for it (RFC 8693,
// section 3): all access tokens here are JWTs.
const (
	accessTokenType = "urn:ietf:params:oauth:token-type:access_token"
	jwtType         = "urn:ietf:params:oauth:token-type:jwt"
)

// tokenExchange: RFC 8693. A service asks with a token it received, to act for that token's subject.
var tokenExchange = Grant{
	Type:   api.GrantTokenExchange,
	Issued: accessTokenType,
	read:   readExchange,
}

func readExchange(f form, p *issuer.Proposal) *problem {
	p.Exchange = issuer.Exchange{Subject: f.get("subject_token"), Actor: f.get("actor_token")}
	switch {
	case p.Exchange.Subject == "":
		return malformed("no_subject_token", "subject_token is missing")
	case !isTokenType(f.get("subject_token_type")):
		return malformed("unsupported_subject_token_type", "subject_token_type must be "+accessTokenType)
	case (p.Exchange.Actor == "") != (f.get("actor_token_type") == ""):
		// Section 2.1: required when actor_token is there, and must not be there when it is not.
		return malformed("half_an_actor", "actor_token and actor_token_type belong together")
	case p.Exchange.Actor != "" && !isTokenType(f.get("actor_token_type")):
		return malformed("unsupported_actor_token_type", "actor_token_type must be "+accessTokenType)
	}
	if t := f.get("requested_token_type"); t != "" && !isTokenType(t) {
		return malformed("unsupported_requested_token_type", "requested_token_type must be "+accessTokenType)
	}
	// impersonate is our own parameter: RFC 8693 leaves open how a client asks for a token that
	// does not say who acts.
	switch f.get("impersonate") {
	case "", "false":
	case "true":
		p.Exchange.Impersonate = true
	default:
		return malformed("malformed_impersonate", "impersonate is true or false")
	}
	return nil
}

func isTokenType(t string) bool { return t == accessTokenType || t == jwtType }
