package grpcauth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/watchword-dev/watchword/verify"
)

// Guard admits calls that have a valid access token. It is safe for concurrent use.
type Guard struct {
	verifier *verify.Verifier
	scopes   map[string][]string
	public   []string
}

// GuardOptions are optional settings. The zero value requires a token, and no scope, for each method.
type GuardOptions struct {
	// Scopes are the scopes that a token must have, by full method name such as "/echo.Echo/Write". A name that ends
	// in a slash is for all methods of the service that are not named themselves.
	Scopes map[string][]string
	// Public are methods or services that need no token, in the same form: "/grpc.health.v1.Health/".
	Public []string
}

// NewGuard returns a Guard. It returns an error only if opts is wrong.
//
//	guard, err := grpcauth.NewGuard(verifier, grpcauth.GuardOptions{
//		Scopes: map[string][]string{"/echo.Echo/Write": {"write"}},
//	})
//	...
//	s := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))
func NewGuard(v *verify.Verifier, opts GuardOptions) (*Guard, error) {
	g := &Guard{verifier: v, scopes: make(map[string][]string), public: slices.Clone(opts.Public)}
	for method, scopes := range opts.Scopes {
		if err := checkMethod(method); err != nil {
			return nil, err
		}
		if len(scopes) == 0 {
			return nil, fmt.Errorf("grpcauth: Scopes has no scope for %s: remove the method, or name a scope", method)
		}
		for _, s := range scopes {
			if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' }) {
				return nil, fmt.Errorf("grpcauth: %q for %s is not a scope (RFC 6749, section 3.3)", s, method)
			}
		}
		g.scopes[method] = slices.Clone(scopes)
	}
	for _, method := range opts.Public {
		if err := checkMethod(method); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// checkMethod returns an error for a name that can match no method, because the method that was meant would need no
// scopes.
func checkMethod(name string) error {
	service, _, ok := strings.Cut(strings.TrimPrefix(name, "/"), "/")
	if !strings.HasPrefix(name, "/") || !ok || service == "" || strings.Count(name, "/") != 2 {
		return fmt.Errorf("grpcauth: %q is not a full method name such as /echo.Echo/Write, nor a service such as /echo.Echo/", name)
	}
	return nil
}

// Unary is a grpc.UnaryServerInterceptor. Handlers find the claims with verify.ClaimsFrom, and a client finds the
// token with client.FromContext.
//
// It answers Unauthenticated if there is no valid token, PermissionDenied if the token lacks a scope, and
// Unavailable if tokens cannot be checked.
func (g *Guard) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	ctx, challenges, err := g.admit(ctx, info.FullMethod)
	if err != nil {
		_ = grpc.SetTrailer(ctx, challenges) // the status has the same information
		return nil, err
	}
	return handle(ctx, req)
}

// Stream is a grpc.StreamServerInterceptor; see Unary. The token is checked at the start of a stream only, however
// long the stream lasts.
func (g *Guard) Stream(srv any, s grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	ctx, challenges, err := g.admit(s.Context(), info.FullMethod)
	if err != nil {
		s.SetTrailer(challenges)
		return err
	}
	return handle(srv, serverStream{s, ctx})
}

type serverStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s serverStream) Context() context.Context { return s.ctx }

// admit checks the token of a call. If it returns an error, it also returns the challenges for the trailer.
func (g *Guard) admit(ctx context.Context, method string) (context.Context, metadata.MD, error) {
	service := method[:strings.LastIndexByte(method, '/')+1]
	if slices.Contains(g.public, method) || slices.Contains(g.public, service) {
		return ctx, nil, nil
	}
	token, err := credentialsOf(ctx)
	var claims *verify.Claims
	if err == nil {
		claims, err = g.verifier.VerifyWith(ctx, token, verify.Proof{Scheme: "Bearer", Certificate: certificateOf(ctx)})
	}
	if err != nil {
		return ctx, g.challenges(err), g.refusal(err)
	}
	scopes, ok := g.scopes[method]
	if !ok {
		scopes = g.scopes[service]
	}
	if !claims.HasScope(scopes...) {
		return ctx, nil, status.Error(codes.PermissionDenied, "the token lacks a scope; it needs: "+strings.Join(scopes, " "))
	}
	return g.verifier.NewContext(ctx, claims, token), nil, nil
}

var errDPoP = errors.New("DPoP")

// credentialsOf returns the token in the metadata (RFC 6750, section 2.1).
func credentialsOf(ctx context.Context) (string, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return "", verify.ErrNoCredentials
	}
	if len(values) > 1 {
		return "", verify.ErrTwoCredentials
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	switch { // RFC 9110, section 11.1: not case-sensitive
	case strings.EqualFold(scheme, "Bearer"):
		return strings.TrimLeft(token, " "), nil
	case strings.EqualFold(scheme, "DPoP"):
		return "", errDPoP
	}
	return "", verify.ErrNoCredentials
}

func certificateOf(ctx context.Context) *x509.Certificate {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return nil
	}
	return info.State.PeerCertificates[0]
}

const noDPoP = "DPoP-bound tokens are not accepted over gRPC, for which no specification defines proofs; use a certificate-bound or a bearer token"

func (g *Guard) refusal(err error) error {
	if errors.Is(err, errDPoP) || errors.Is(err, verify.ErrBound) {
		return status.Error(codes.Unauthenticated, noDPoP)
	}
	r := g.verifier.Refusal(err)
	code := codes.Unauthenticated
	switch r.Status {
	case http.StatusServiceUnavailable:
		code = codes.Unavailable
	case http.StatusForbidden:
		code = codes.PermissionDenied
	}
	return status.Error(code, r.Description)
}

// challenges returns the challenges that an HTTP service would send, for proxies and for people.
func (g *Guard) challenges(err error) metadata.MD {
	md := metadata.MD{}
	for _, c := range g.verifier.Refusal(err).Challenges {
		if strings.HasPrefix(c, "Bearer") {
			md.Append("www-authenticate", c)
		}
	}
	return md
}
