package spiffeauth

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"github.com/spiffe/go-spiffe/v2/workloadapi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/watchword-dev/watchword/client"
)

// Options are optional settings of a Source.
type Options struct {
	// Address is the address of the Workload API, such as unix:///run/spire/agent.sock. If it is empty, the
	// environment variable SPIFFE_ENDPOINT_SOCKET has it (SPIFFE Workload Endpoint, section 4).
	Address string
	// ID is the SPIFFE ID to use, such as spiffe://example.org/m1, of those that this process has. If it is empty, the
	// first one is used, which the specification calls the default identity.
	ID string
}

// Source returns the SVIDs of this process. It asks the Workload API for each, and so returns one that the agent has
// renewed, and fails if the agent does not vouch for this process any more. It is safe for concurrent use.
type Source struct {
	address string
	id      spiffeid.ID // zero for the default identity
	api     *workloadapi.Client
}

var _ client.PlatformTokenSource = (*Source)(nil)

// timeout limits one request to the Workload API. The agent may ask its server meanwhile.
const timeout = 10 * time.Second

// maxReconnectDelay limits how long after the start of an agent requests still fail. The default of gRPC is two minutes.
const maxReconnectDelay = time.Second

// New returns a source. It does not connect yet, so that the agent may start later than this process.
func New(o Options) (*Source, error) {
	s := &Source{address: o.Address}
	if s.address == "" {
		s.address, _ = workloadapi.GetDefaultAddress()
	}
	if s.address == "" {
		return nil, errors.New("SPIFFE: there is no address of the Workload API; set " + workloadapi.SocketEnv + ", for example to unix:///run/spire/agent.sock")
	}
	if err := workloadapi.ValidateAddress(s.address); err != nil {
		return nil, fmt.Errorf("SPIFFE: the address %q: %w; write it like unix:///run/spire/agent.sock", s.address, err)
	}
	if o.ID != "" {
		var err error
		if s.id, err = spiffeid.FromString(o.ID); err != nil {
			return nil, fmt.Errorf("SPIFFE: %q is not a SPIFFE ID: %w; write it like spiffe://example.org/m1", o.ID, err)
		}
	}
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = maxReconnectDelay/10, maxReconnectDelay
	api, err := workloadapi.New(context.Background(), workloadapi.WithAddr(s.address),
		workloadapi.WithDialOptions(grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: timeout})))
	if err != nil {
		return nil, fmt.Errorf("SPIFFE: prepare the connection to %s: %w", s.address, err)
	}
	s.api = api
	return s, nil
}

// Close closes the connection to the Workload API. The source cannot be used afterwards.
func (s *Source) Close() error { return s.api.Close() }

// String returns where the SVIDs come from.
func (s *Source) String() string { return "SPIFFE at " + s.address }

// Token returns a JWT-SVID for audience, so that a Source is a client.PlatformTokenSource. The agent keeps JWT-SVIDs
// and renews them in time, so that this takes about a millisecond.
func (s *Source) Token(ctx context.Context, audience string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	svid, err := s.api.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience, Subject: s.id})
	if err != nil {
		return "", s.failed("JWT-SVID", err)
	}
	return svid.Marshal(), nil
}

// Certificate returns the X.509-SVID with its intermediates and its private key, for client.Config.Certificate:
//
//	client.Config{Certificate: source.Certificate}
func (s *Source) Certificate(ctx context.Context) (*tls.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	svids, err := s.api.FetchX509SVIDs(ctx)
	if err != nil {
		return nil, s.failed("X.509-SVID", err)
	}
	svid := svids[0]
	if !s.id.IsZero() {
		if svid = find(svids, s.id); svid == nil {
			return nil, s.failed("X.509-SVID", status.Error(codes.PermissionDenied, "it has others"))
		}
	}
	cert := &tls.Certificate{PrivateKey: svid.PrivateKey, Leaf: svid.Certificates[0]}
	for _, c := range svid.Certificates {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	return cert, nil
}

func find(svids []*x509svid.SVID, id spiffeid.ID) *x509svid.SVID {
	for _, s := range svids {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// failed says what to do about an error of the Workload API.
func (s *Source) failed(kind string, err error) error {
	of := "this process"
	if !s.id.IsZero() {
		of = "this process as " + s.id.String()
	}
	todo := ""
	switch status.Code(err) {
	case codes.Unavailable:
		todo = "; start the SPIFFE agent, or correct " + workloadapi.SocketEnv
	case codes.PermissionDenied: // SPIFFE Workload API, section 6.2.2: the client has no identity
		todo = "; register this workload with the agent's server (with SPIRE: spire-server entry create)"
	}
	return fmt.Errorf("SPIFFE: no %s of %s from the Workload API at %s: %w%s", kind, of, s.address, err, todo)
}
