package client

import (
	"context"
	"errors"
)

// BootstrapAssertion sends a bootstrap credential of Watchword as a client assertion: the OAuth door
// for services that have no other credential.
func BootstrapAssertion(credential CredentialSource) *Auth {
	a := &Auth{name: "bootstrap", prove: func(ctx context.Context, r *tokenRequest) error {
		s, err := secretOf(ctx, credential)
		if err != nil {
			return err
		}
		r.caller = subject(s)
		r.assert(s)
		return nil
	}}
	if credential == nil {
		a.err = errors.New("bootstrap needs a credential, for instance client.File(path)")
	}
	return a
}
