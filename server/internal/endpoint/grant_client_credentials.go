package endpoint

import (
	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// clientCredentials: RFC 6749, section 4.4. A service asks for itself.
var clientCredentials = Grant{
	Type: api.GrantClientCredentials,
	read: func(form, *issuer.Proposal) *problem { return nil },
}
