package grpcauth_test

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/client/clienttest"
	"github.com/watchword-dev/watchword/grpcauth"
	"github.com/watchword-dev/watchword/verify"
)

// Client and server, here in one program and without TLS.
func Example() {
	auth := clienttest.NewServer()
	defer auth.Close()
	auth.Allow("m1", "m2", "read")
	v, err := verify.New(context.Background(), verify.Config{Issuer: auth.OAuthIssuer(), Audience: "m2", JWKSURL: auth.JWKSURL()})
	if err != nil {
		log.Fatal(err)
	}
	c, err := client.New(client.Config{Server: auth.URL, Auth: client.ClientSecretBasic("m1", client.Static(auth.Secret("m1")))})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	address, creds := l.Addr().String(), insecure.NewCredentials()
	options := grpcauth.CallerOptions{AllowInsecure: true}

	// The server. Handlers find the claims with verify.ClaimsFrom(ctx).
	guard, err := grpcauth.NewGuard(v, grpcauth.GuardOptions{
		Scopes: map[string][]string{"/grpc.testing.TestService/UnaryCall": {"read"}},
		Public: []string{"/grpc.health.v1.Health/"},
	})
	if err != nil {
		log.Fatal(err)
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(guard.Unary), grpc.StreamInterceptor(guard.Stream))

	testpb.RegisterTestServiceServer(s, echo{})
	go func() { _ = s.Serve(l) }()
	defer s.Stop()

	// The client.
	m2 := grpcauth.NewCaller(c.TokenSource("m2", "read"), options)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds),
		grpc.WithUnaryInterceptor(m2.Unary), grpc.WithStreamInterceptor(m2.Stream))
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()

	r, err := testpb.NewTestServiceClient(conn).UnaryCall(context.Background(), &testpb.SimpleRequest{})
	fmt.Println(r.GetUsername(), err)
	// Output:
	// m1 <nil>
}
