// Package incoming keeps the access token of the request that is being served in the context of the request. The
// code that verifies the request puts it there, and a client that exchanges it takes it. The package does not read
// the token.
package incoming

import "context"

type key struct{}

// held is a token that is not printed with the context.
type held func() string

// With returns a context with token.
func With(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, key{}, held(func() string { return token }))
}

// From returns the token in ctx, or "".
func From(ctx context.Context) string {
	if h, ok := ctx.Value(key{}).(held); ok {
		return h()
	}
	return ""
}
