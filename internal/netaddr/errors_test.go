package netaddr_test

import (
	"net"
	"testing"

	"github.com/watchword-dev/watchword/internal/netaddr"
)

func TestErrorsOfRealSocketsAreKnown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if _, err := net.Listen("tcp", address); !netaddr.IsTaken(err) || netaddr.IsRefused(err) {
		t.Errorf("a second listener: got %v", err)
	}
	l.Close()
	if _, err := net.Dial("tcp", address); !netaddr.IsRefused(err) || netaddr.IsTaken(err) {
		t.Errorf("no listener: got %v", err)
	}
}
