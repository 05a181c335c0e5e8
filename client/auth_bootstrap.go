package client

import (
	"context"
	"errors"

	"github.com/watchword-dev/watchword/api"
)

// BootstrapAssertion sends a bootstrap credential as a client assertion. It is for services that have no other
// credential for the OAuth token endpoint.
func BootstrapAssertion(credential CredentialSource) *Auth {
	a := &Auth{name: api.Bootstrap, prove: func(ctx context.Context, r *tokenRequest) error {
		s, err := secretOf(ctx, credential)
		if err != nil {
			return err
		}
		r.caller = subject(s)
		r.assert(assertionType, s)
		return nil
	}}
	if credential == nil {
		a.err = errors.New("bootstrap needs a credential, for instance client.File(path)")
	}
	return a
}
