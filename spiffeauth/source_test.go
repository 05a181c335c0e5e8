package spiffeauth_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/leaktest"
	"github.com/watchword-dev/watchword/spiffeauth"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// What a source gets from a real agent is tested in server/interop.

func TestWrongOptionsAreErrorsThatSayWhatToWrite(t *testing.T) {
	for _, c := range []struct{ variable, address, id, want string }{
		{"", "", "", "set SPIFFE_ENDPOINT_SOCKET"},
		{"/run/agent.sock", "", "", "write it like unix:///run/spire/agent.sock"},
		{"unix:///run/agent.sock", "agent.sock", "", "write it like unix:///run/spire/agent.sock"},
		{"", "tcp://agent.example:1", "", "write it like unix:///run/spire/agent.sock"},
		{"unix:///run/agent.sock", "", "m1", "write it like spiffe://example.org/m1"},
		{"unix:///run/agent.sock", "", "spiffe://example.org/m1/", "write it like spiffe://example.org/m1"},
	} {
		t.Setenv("SPIFFE_ENDPOINT_SOCKET", c.variable)
		if _, err := spiffeauth.New(spiffeauth.Options{Address: c.address, ID: c.id}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c, err)
		}
	}
}

func TestWithoutAnAgentThereIsNoTokenAndNoCertificate(t *testing.T) {
	socket := "unix://" + filepath.Join(t.TempDir(), "agent.sock")
	t.Setenv("SPIFFE_ENDPOINT_SOCKET", socket)
	s, err := spiffeauth.New(spiffeauth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if s.String() != "SPIFFE at "+socket {
		t.Errorf("got %s", s)
	}
	token, err := s.Token(t.Context(), "https://auth.example.com")
	if token != "" || err == nil || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "start the SPIFFE agent") {
		t.Errorf("got %q, %v", token, err)
	}
	cert, err := s.Certificate(t.Context())
	if cert != nil || err == nil || !strings.Contains(err.Error(), socket) || !strings.Contains(err.Error(), "start the SPIFFE agent") {
		t.Errorf("got %v, %v", cert, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Token(ctx, "https://auth.example.com"); !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("a context that has ended: got %v", err)
	}
}
