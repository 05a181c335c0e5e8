package grpcauth_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/grpcauth"
)

// rejector lets only tokens through that are not the first it has seen, as after a revocation.
type rejector struct {
	mu    sync.Mutex
	first string
	calls int
	all   bool
}

func (r *rejector) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	token := strings.Join(metadata.ValueFromIncomingContext(ctx, "authorization"), ",")
	if r.first == "" {
		r.first = token
	}
	if r.all || token == r.first {
		return status.Error(codes.Unauthenticated, "revoked")
	}
	return nil
}

func (r *rejector) options() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			if err := r.check(ctx); err != nil {
				return nil, err
			}
			return handle(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if err := r.check(s.Context()); err != nil {
				return err
			}
			return handle(srv, s)
		}),
	}
}

// SCL-010, for gRPC: a token that the callee no longer takes is fetched again, once.
func TestRejectedTokenIsRenewedAndTheCallMadeAgainOnce(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	for name, call := range map[string]func(testpb.TestServiceClient) error{
		"unary": func(m2 testpb.TestServiceClient) error {
			_, err := m2.UnaryCall(t.Context(), &testpb.SimpleRequest{})
			return err
		},
		"server stream": func(m2 testpb.TestServiceClient) error {
			req := &testpb.StreamingOutputCallRequest{}
			out, err := m2.StreamingOutputCall(t.Context(), req)
			if err != nil {
				return err
			}
			req.Payload = &testpb.Payload{} // it is the caller's again
			got, err := drain(out)
			if err == nil && got != "m1,m1" {
				err = errors.New(got)
			}
			return err
		},
	} {
		for _, all := range []bool{false, true} {
			c := newClient(t, s, func(cfg *client.Config) { cfg.Auth = client.ClientSecretPost("m1", client.Static(s.Secret("m1"))) })
			r := &rejector{all: all}
			m2 := dial(t, serve(t, configOf(s, "m2"), grpcauth.GuardOptions{}, echo{}, r.options()...), through(grpcauth.NewCaller(c.TokenSource("m2"), local))...)
			before := s.Requests()
			for range 3 {
				want := codes.OK
				if all {
					want = codes.Unauthenticated
				}
				if err := call(m2); status.Code(err) != want {
					t.Errorf("%s: got %v, want %v", name, err, want)
				}
			}
			if r.calls != 4 && !all || r.calls > 5 || s.Requests()-before != 2 {
				t.Errorf("%s, all rejected %v: %d calls arrived, %d tokens were asked for", name, all, r.calls, s.Requests()-before)
			}
		}
	}
}

// What was sent on a stream of many messages is gone; the next stream has another token.
func TestStreamOfManyMessagesFailsAndTheNextIsGood(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	c := newClient(t, s, func(cfg *client.Config) { cfg.Credential = client.Static(s.Credential("m1")) })
	cfg := configOf(s, "m2")
	cfg.Issuer = "auth-server" // of POST /accesstoken
	m2 := dial(t, serve(t, cfg, grpcauth.GuardOptions{}, echo{}, (&rejector{}).options()...), through(grpcauth.NewCaller(c.TokenSource("m2"), local))...)
	for _, want := range []codes.Code{codes.Unauthenticated, codes.OK} {
		both, err := m2.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_ = both.Send(&testpb.StreamingOutputCallRequest{}) // how it went shows at receiving
		_ = both.CloseSend()
		if _, err := drain(both); status.Code(err) != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

func TestErrorsOfTheTokenSourceAreStatuses(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	for name, c := range map[string]struct {
		edit   func(*client.Config)
		target string
		code   codes.Code
	}{
		"refused": {func(cfg *client.Config) { cfg.Credential = client.Static(s.Credential("m1")) }, "m3", codes.PermissionDenied},
		"away": {func(cfg *client.Config) {
			cfg.Server, cfg.Credential = "http://127.0.0.1:1", client.Static("x")
		}, "m2", codes.Unavailable},
		"DPoP": {func(cfg *client.Config) {
			cfg.Credential, cfg.DPoP = client.Static(s.Credential("m1")), &client.DPoP{}
		}, "m2", codes.FailedPrecondition},
		"no target": {func(cfg *client.Config) { cfg.Credential = client.Static(s.Credential("m1")) }, "", codes.FailedPrecondition},
	} {
		caller := grpcauth.NewCaller(newClient(t, s, c.edit).TokenSource(c.target), local)
		address := serve(t, configOf(s, "m2"), grpcauth.GuardOptions{}, echo{})
		_, err := dial(t, address, through(caller)...).UnaryCall(t.Context(), &testpb.SimpleRequest{})
		if status.Code(err) != c.code {
			t.Errorf("%s: got %v, want %v", name, err, c.code)
		}
		var denied *client.DeniedError
		if name == "refused" && !errors.As(err, &denied) {
			t.Errorf("%s: the cause is lost: %v", name, err)
		}
		out, err := dial(t, address, through(caller)...).StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err == nil {
			_, err = drain(out)
		}
		if status.Code(err) != c.code {
			t.Errorf("%s, stream: got %v, want %v", name, err, c.code)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := dial(t, address, through(caller)...).UnaryCall(ctx, &testpb.SimpleRequest{}); name == "away" && status.Code(err) != codes.Canceled && status.Code(err) != codes.Unavailable {
			t.Errorf("cancelled: got %v", err)
		}
	}
}

func TestTokensAreNotSentInTheClearUnlessAllowed(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	c := newClient(t, s, func(cfg *client.Config) { cfg.Auth = client.ClientSecretPost("m1", client.Static(s.Secret("m1"))) })
	caller := grpcauth.NewCaller(c.TokenSource("m2"), grpcauth.CallerOptions{})
	var r rejector
	m2 := dial(t, serve(t, configOf(s, "m2"), grpcauth.GuardOptions{}, echo{}, r.options()...), through(caller)...)
	if _, err := m2.UnaryCall(t.Context(), &testpb.SimpleRequest{}); err == nil || r.calls != 0 {
		t.Errorf("got %v, and %d calls arrived", err, r.calls)
	}
}

// m1 calls m2, which calls m3 in its name, all over gRPC.
func TestCallGoesOnInTheCallersName(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	s.AllowExchange("m2", "m3")
	c2 := newClient(t, s, func(cfg *client.Config) { cfg.Auth = client.PrivateKeyJWT("m2", client.Key(s.Key("m2"), "")) })
	m3 := dial(t, serve(t, configOf(s, "m3"), grpcauth.GuardOptions{}, echo{}),
		through(grpcauth.NewCaller(c2.ExchangeSource(client.FromContext, "m3"), local))...)
	onward := func(ctx context.Context) (string, error) {
		r, err := m3.UnaryCall(ctx, &testpb.SimpleRequest{})
		return r.GetUsername(), err
	}
	c1 := newClient(t, s, func(cfg *client.Config) { cfg.Auth = client.ClientSecretPost("m1", client.Static(s.Secret("m1"))) })
	m2 := dial(t, serve(t, configOf(s, "m2"), grpcauth.GuardOptions{}, echo{onward: onward}),
		through(grpcauth.NewCaller(c1.TokenSource("m2"), local))...)
	if r, err := m2.UnaryCall(t.Context(), &testpb.SimpleRequest{}); err != nil || r.GetUsername() != "m1 through m2" {
		t.Errorf("got %v, %v; want m1 through m2", r, err)
	}
}
