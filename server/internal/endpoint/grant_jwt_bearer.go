package endpoint

import (
	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// jwtBearer: RFC 7523, section 2.1. A service asks with an assertion it signed itself.
var jwtBearer = Grant{
	Type: api.GrantJWTBearer,
	read: func(f form, p *issuer.Proposal) *problem {
		if p.GrantAssertion = f.get("assertion"); p.GrantAssertion == "" {
			return malformed("no_assertion", "assertion is missing")
		}
		return nil
	},
}
