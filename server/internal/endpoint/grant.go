package endpoint

import "github.com/watchword-dev/watchword/server/internal/issuer"

// Grant is one way to ask for a token.
type Grant struct {
	// Type is the grant_type.
	Type string
	// Issued is the issued_token_type of the answer, where the grant has one.
	Issued string
	// read takes from the form what is the grant's own. What all have in common is read already.
	read func(form, *issuer.Proposal) *problem
}

// Grants are those there are. The metadata lists the same.
func Grants() []Grant {
	return []Grant{
		clientCredentials,
		tokenExchange,
		jwtBearer,
	}
}

func grantOf(grantType string) (Grant, *problem) {
	if grantType == "" {
		return Grant{}, malformed("no_grant_type", "grant_type is missing")
	}
	for _, g := range grants {
		if g.Type == grantType {
			return g, nil
		}
	}
	// The issuer refuses it, once it knows whose request that is.
	return Grant{Type: grantType}, nil
}

var grants = Grants()
