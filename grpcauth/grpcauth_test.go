package grpcauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/client/clienttest"
	"github.com/watchword-dev/watchword/grpcauth"
	"github.com/watchword-dev/watchword/verify"
	"github.com/watchword-dev/watchword/verify/verifytest"
)

// echo answers with the name of its caller.
type echo struct {
	testpb.UnimplementedTestServiceServer
	onward func(context.Context) (string, error)
}

func (e echo) UnaryCall(ctx context.Context, _ *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	c := verify.ClaimsFrom(ctx)
	name := c.Subject
	if c.Actor() != "" {
		name += " through " + c.Actor()
	}
	if e.onward != nil {
		var err error
		if name, err = e.onward(ctx); err != nil {
			return nil, err
		}
	}
	return &testpb.SimpleResponse{Username: name}, nil
}

func (echo) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

// StreamingOutputCall wants a request without a payload.
func (echo) StreamingOutputCall(r *testpb.StreamingOutputCallRequest, s grpc.ServerStreamingServer[testpb.StreamingOutputCallResponse]) error {
	if r.GetPayload() != nil {
		return status.Error(codes.InvalidArgument, "a payload")
	}
	for range 2 {
		body := []byte(verify.ClaimsFrom(s.Context()).Subject)
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: body}}); err != nil {
			return err
		}
	}
	return nil
}

func (echo) FullDuplexCall(s grpc.BidiStreamingServer[testpb.StreamingOutputCallRequest, testpb.StreamingOutputCallResponse]) error {
	for {
		if _, err := s.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		body := []byte(verify.ClaimsFrom(s.Context()).Subject)
		if err := s.Send(&testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: body}}); err != nil {
			return err
		}
	}
}

const (
	unaryCall = "/grpc.testing.TestService/UnaryCall"
	emptyCall = "/grpc.testing.TestService/EmptyCall"
)

// serve runs a server on a loopback address.
func serve(t *testing.T, cfg verify.Config, opts grpcauth.GuardOptions, e echo, more ...grpc.ServerOption) string {
	t.Helper()
	v, err := verify.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	g, err := grpcauth.NewGuard(v, opts)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(append(more, grpc.UnaryInterceptor(g.Unary), grpc.StreamInterceptor(g.Stream))...)
	testpb.RegisterTestServiceServer(s, e)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = s.Serve(l) })
	t.Cleanup(func() { s.Stop(); wg.Wait() })
	return l.Addr().String()
}

func dial(t *testing.T, address string, opts ...grpc.DialOption) testpb.TestServiceClient {
	t.Helper()
	conn, err := grpc.NewClient(address, append([]grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return testpb.NewTestServiceClient(conn)
}

func newClient(t *testing.T, s *clienttest.Server, edit func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{Server: s.URL, Logger: slog.New(slog.DiscardHandler)}
	edit(&cfg)
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func newServer(t *testing.T) *clienttest.Server {
	s := clienttest.NewServer()
	t.Cleanup(s.Close)
	return s
}

func configOf(s *clienttest.Server, audience string) verify.Config {
	return verify.Config{Issuer: s.OAuthIssuer(), Audience: audience, JWKSURL: s.JWKSURL(), Logger: slog.New(slog.DiscardHandler)}
}

func through(c *grpcauth.Caller) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithUnaryInterceptor(c.Unary), grpc.WithStreamInterceptor(c.Stream)}
}

var local = grpcauth.CallerOptions{AllowInsecure: true}

// drain receives all and returns what came.
func drain(s interface {
	Recv() (*testpb.StreamingOutputCallResponse, error)
},
) (string, error) {
	var got []string
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return strings.Join(got, ","), nil
		}
		if err != nil {
			return "", err
		}
		got = append(got, string(m.GetPayload().GetBody()))
	}
}

func TestCallsOfEveryKindCarryATokenThatIsChecked(t *testing.T) {
	s := newServer(t)
	s.Allow("m1", "m2")
	c := newClient(t, s, func(cfg *client.Config) { cfg.Auth = client.ClientSecretBasic("m1", client.Static(s.Secret("m1"))) })
	caller := grpcauth.NewCaller(c.TokenSource("m2"), local)
	address := serve(t, configOf(s, "m2"), grpcauth.GuardOptions{}, echo{})
	for name, m2 := range map[string]testpb.TestServiceClient{
		"interceptors": dial(t, address, through(caller)...),
		"credentials":  dial(t, address, grpc.WithPerRPCCredentials(caller.Credentials())),
	} {
		if r, err := m2.UnaryCall(t.Context(), &testpb.SimpleRequest{}); err != nil || r.GetUsername() != "m1" {
			t.Errorf("%s: unary: %v, %v", name, r, err)
		}
		out, err := m2.StreamingOutputCall(t.Context(), &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := drain(out); got != "m1,m1" || err != nil {
			t.Errorf("%s: server stream: %q, %v", name, got, err)
		}
		both, err := m2.FullDuplexCall(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := both.Send(&testpb.StreamingOutputCallRequest{}); err != nil {
				t.Error(err)
			}
		}
		if err := both.CloseSend(); err != nil {
			t.Error(err)
		}
		if got, err := drain(both); got != "m1,m1,m1" || err != nil {
			t.Errorf("%s: both ways: %q, %v", name, got, err)
		}
	}
	if s.Requests() != 1 {
		t.Errorf("%d tokens were asked for, want 1", s.Requests())
	}
}

func TestGuardRefusesInTheTermsOfGRPC(t *testing.T) {
	i := verifytest.NewIssuer(t)
	key := verifytest.NewKey(t)
	guard := grpcauth.GuardOptions{
		Scopes: map[string][]string{unaryCall: {"write", "admin"}},
		Public: []string{emptyCall},
	}
	m2 := dial(t, serve(t, i.Config("m2"), guard, echo{}))
	for name, c := range map[string]struct {
		authorization []string
		code          codes.Code
		message       string
	}{
		"good":           {[]string{"Bearer " + i.Token("m1", "m2", verifytest.Scopes("read", "admin", "write"))}, codes.OK, ""},
		"any case":       {[]string{"bEARER " + i.Token("m1", "m2", verifytest.Scopes("admin", "write"))}, codes.OK, ""},
		"none":           {nil, codes.Unauthenticated, "access token"},
		"Basic":          {[]string{"Basic bTE6eA=="}, codes.Unauthenticated, "access token"},
		"two":            {[]string{"Bearer " + i.Token("m1", "m2"), "Bearer x"}, codes.Unauthenticated, "more than one"},
		"empty":          {[]string{"Bearer "}, codes.Unauthenticated, "malformed"},
		"forged":         {[]string{"Bearer " + i.Token("m1", "m2", verifytest.Forged())}, codes.Unauthenticated, "signature"},
		"expired":        {[]string{"Bearer " + i.Token("m1", "m2", verifytest.Expired())}, codes.Unauthenticated, "expired"},
		"for another":    {[]string{"Bearer " + i.Token("m1", "m3")}, codes.Unauthenticated, "audience"},
		"lacks a scope":  {[]string{"Bearer " + i.Token("m1", "m2", verifytest.Scopes("write"))}, codes.PermissionDenied, "write admin"},
		"DPoP-bound":     {[]string{"Bearer " + i.Token("m1", "m2", verifytest.BoundToKey(key))}, codes.Unauthenticated, "DPoP-bound tokens are not accepted over gRPC"},
		"DPoP scheme":    {[]string{"DPoP " + i.Token("m1", "m2", verifytest.BoundToKey(key))}, codes.Unauthenticated, "DPoP-bound tokens are not accepted over gRPC"},
		"no certificate": {[]string{"Bearer " + i.Token("m1", "m2", verifytest.BoundToCertificate(newCertificate(t).Leaf))}, codes.Unauthenticated, "certificate"},
	} {
		ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": c.authorization})
		var trailer metadata.MD
		_, err := m2.UnaryCall(ctx, &testpb.SimpleRequest{}, grpc.Trailer(&trailer))
		if status.Code(err) != c.code || !strings.Contains(status.Convert(err).Message(), c.message) {
			t.Errorf("%s: got %v, want %v with %q", name, err, c.code, c.message)
		}
		if challenged := len(trailer["www-authenticate"]) > 0; challenged != (c.code == codes.Unauthenticated && name != "DPoP-bound") {
			t.Errorf("%s: challenges %q", name, trailer["www-authenticate"])
		}
		out, err := m2.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		want := c.code
		if want == codes.PermissionDenied {
			want = codes.OK // the stream has no scopes of its own
		}
		if _, err := drain(out); status.Code(err) != want {
			t.Errorf("%s: the stream got %v, want %v", name, err, want)
		}
	}
	if _, err := m2.EmptyCall(t.Context(), &testpb.Empty{}); err != nil {
		t.Errorf("a public method: %v", err)
	}
}

func TestNamesOfServicesAreOfAllTheirMethods(t *testing.T) {
	const service = "/grpc.testing.TestService/"
	i := verifytest.NewIssuer(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+i.Token("m1", "m2", verifytest.Scopes("read")))
	scopes := map[string][]string{service: {"admin"}, emptyCall: {"read"}}
	m2 := dial(t, serve(t, i.Config("m2"), grpcauth.GuardOptions{Scopes: scopes}, echo{}))
	if _, err := m2.UnaryCall(ctx, &testpb.SimpleRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a method without scopes of its own: got %v", err)
	}
	if _, err := m2.EmptyCall(ctx, &testpb.Empty{}); err != nil {
		t.Errorf("a method with scopes of its own: got %v", err)
	}
	open := dial(t, serve(t, i.Config("m2"), grpcauth.GuardOptions{Public: []string{service}}, echo{}))
	if _, err := open.EmptyCall(t.Context(), &testpb.Empty{}); err != nil {
		t.Errorf("a public service: got %v", err)
	}
}

func TestTokensThatCannotBeCheckedAreUnavailable(t *testing.T) {
	i := verifytest.NewIssuer(t)
	i.SetDown(true)
	cfg := i.Config("m2")
	cfg.Logger = slog.New(slog.DiscardHandler)
	m2 := dial(t, serve(t, cfg, grpcauth.GuardOptions{}, echo{}))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+i.Token("m1", "m2"))
	if _, err := m2.UnaryCall(ctx, &testpb.SimpleRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", err)
	}
}

func TestGuardOptionsThatWouldProtectNothingAreErrors(t *testing.T) {
	i := verifytest.NewIssuer(t)
	v, err := verify.New(t.Context(), i.Config("m2"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = v.Close() }()
	for _, opts := range []grpcauth.GuardOptions{
		{Scopes: map[string][]string{"Write": {"write"}}},
		{Scopes: map[string][]string{"echo.Echo/Write": {"write"}}},
		{Scopes: map[string][]string{"/echo.Echo": {"write"}}},
		{Scopes: map[string][]string{"/a/b/c": {"write"}}},
		{Scopes: map[string][]string{"/echo.Echo/Write": {}}},
		{Scopes: map[string][]string{"/echo.Echo/Write": {"a b"}}},
		{Public: []string{"/"}},
		{Public: []string{""}},
		{Public: []string{"//"}},
		{Public: []string{"/grpc.health.v1.Health"}},
	} {
		if _, err := grpcauth.NewGuard(v, opts); err == nil {
			t.Errorf("%+v: accepted", opts)
		}
	}
	good := grpcauth.GuardOptions{Scopes: map[string][]string{"/echo.Echo/": {"a"}, "/echo.Echo/Write": {"b"}}, Public: []string{"/x.Y/"}}
	if _, err := grpcauth.NewGuard(v, good); err != nil {
		t.Error(err)
	}
}

func newCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "m1"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// RFC 8705, section 3: a certificate-bound token is valid over connections with that certificate.
func TestCertificateBoundTokenGoesWithItsCertificate(t *testing.T) {
	i := verifytest.NewIssuer(t)
	server, mine, other := newCertificate(t), newCertificate(t), newCertificate(t)
	tlsConfig := &tls.Config{Certificates: []tls.Certificate{server}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
	address := serve(t, i.Config("m2"), grpcauth.GuardOptions{}, echo{}, grpc.Creds(credentials.NewTLS(tlsConfig)))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+i.Token("m1", "m2", verifytest.BoundToCertificate(mine.Leaf)))
	pool := x509.NewCertPool()
	pool.AddCert(server.Leaf)
	for _, c := range []struct {
		certs []tls.Certificate
		want  codes.Code
	}{{[]tls.Certificate{mine}, codes.OK}, {[]tls.Certificate{other}, codes.Unauthenticated}, {nil, codes.Unauthenticated}} {
		creds := credentials.NewTLS(&tls.Config{RootCAs: pool, Certificates: c.certs, MinVersion: tls.VersionTLS13})
		m2 := dial(t, address, grpc.WithTransportCredentials(creds))
		if _, err := m2.UnaryCall(ctx, &testpb.SimpleRequest{}); status.Code(err) != c.want {
			t.Errorf("got %v, want %v", err, c.want)
		}
	}
}
