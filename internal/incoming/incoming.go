// Package incoming carries the access token of the request being served through its context: what
// verifies the request puts it there, and a client that calls on with the caller's identity takes
// it. It does not know what a token says.
package incoming

import "context"

type key struct{}

// held hides the token from whoever prints a context.
type held func() string

// With returns a context that carries token.
func With(ctx context.Context, token string) context.Context {
	return context.WithValue(ctx, key{}, held(func() string { return token }))
}

// From returns the token ctx carries, or "".
func From(ctx context.Context) string {
	if h, ok := ctx.Value(key{}).(held); ok {
		return h()
	}
	return ""
}
