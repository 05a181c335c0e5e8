package grpcauth

import (
	"context"
	"errors"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/watchword-dev/watchword/client"
)

// Caller adds a token to each call. It is safe for concurrent use.
type Caller struct {
	source   *client.TokenSource
	insecure bool
}

// CallerOptions are optional settings. The zero value is for calls over TLS.
type CallerOptions struct {
	// AllowInsecure permits connections without TLS, for example to a sidecar on the same host. Everybody on the
	// network path can then read the tokens.
	AllowInsecure bool
}

// NewCaller returns a Caller that uses the tokens of source, which Client.TokenSource or Client.ExchangeSource
// returns for one target:
//
//	m2 := grpcauth.NewCaller(c.TokenSource("m2"), grpcauth.CallerOptions{})
//	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds),
//		grpc.WithUnaryInterceptor(m2.Unary), grpc.WithStreamInterceptor(m2.Stream))
func NewCaller(source *client.TokenSource, opts CallerOptions) *Caller {
	return &Caller{source, opts.AllowInsecure}
}

// Credentials returns credentials for grpc.WithPerRPCCredentials. Use them if interceptors cannot be used; a
// rejected token is then not replaced.
func (c *Caller) Credentials() credentials.PerRPCCredentials { return perRPC{c, nil} }

// Unary is a grpc.UnaryClientInterceptor. If the server answers Unauthenticated, the call is made once more if
// there is another token; see client.TokenSource.Renewed.
func (c *Caller) Unary(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	token, err := c.token(ctx)
	if err != nil {
		return err
	}
	err = invoke(ctx, method, req, reply, conn, c.with(opts, token)...)
	if status.Code(err) != codes.Unauthenticated {
		return err
	}
	token, ok := c.source.Renewed(ctx, token)
	if !ok {
		return err
	}
	return invoke(ctx, method, req, reply, conn, c.with(opts, token)...)
}

// with returns the options of a call with the token added.
func (c *Caller) with(opts []grpc.CallOption, token client.Token) []grpc.CallOption {
	own := make([]grpc.CallOption, 0, len(opts)+1)
	return append(append(own, opts...), grpc.PerRPCCredentials(perRPC{c, &token}))
}

func (c *Caller) token(ctx context.Context) (client.Token, error) {
	token, err := c.source.Token(ctx)
	if err != nil {
		return client.Token{}, callError{err}
	}
	if token.Type() != "Bearer" {
		return client.Token{}, status.Errorf(codes.FailedPrecondition,
			"watchword: the token is %s-bound, which no specification defines for gRPC; use a certificate-bound one (client.Config.Certificate)", token.Type())
	}
	return token, nil
}

// perRPC adds the given token to a call, or one from the source.
type perRPC struct {
	caller *Caller
	token  *client.Token
}

func (p perRPC) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	token := p.token
	if token == nil {
		fresh, err := p.caller.token(ctx)
		if err != nil {
			return nil, err
		}
		token = &fresh
	}
	return map[string]string{"authorization": "Bearer " + token.Reveal()}, nil
}

func (p perRPC) RequireTransportSecurity() bool { return !p.caller.insecure }

// callError is an error of package client with a gRPC status.
type callError struct{ error }

func (e callError) Unwrap() error { return e.error }

// GRPCStatus returns the status for status.FromError.
func (e callError) GRPCStatus() *status.Status {
	var denied *client.DeniedError
	var away *client.UnavailableError
	switch {
	case errors.Is(e.error, context.Canceled), errors.Is(e.error, context.DeadlineExceeded):
		return status.New(status.FromContextError(unwrapContext(e.error)).Code(), e.Error())
	case errors.As(e.error, &denied):
		return status.New(codes.PermissionDenied, e.Error())
	case errors.As(e.error, &away):
		return status.New(codes.Unavailable, e.Error())
	}
	return status.New(codes.FailedPrecondition, e.Error())
}

func unwrapContext(err error) error {
	if errors.Is(err, context.Canceled) {
		return context.Canceled
	}
	return context.DeadlineExceeded
}
