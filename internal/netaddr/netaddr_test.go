package netaddr

import (
	"net"
	"testing"
)

// F34.
func TestLoopbackIsTheSameForAll(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "as.localhost": true, "a.b.LocalHost": true,
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, ".localhost": false, "localhost.": false, "127.0.0.1.": false, "localhost.evil.test": false,
		"xlocalhost": false, "127.0.0.1.evil.test": false, "127.1": false, "2130706433": false, "0x7f.1": false,
		"0.0.0.0": false, "::": false, "10.0.0.1": false, "[::1]": false, "127.0.0.1:80": false,
	} {
		if got := IsLoopback(host); got != want {
			t.Errorf("IsLoopback(%q) = %v, want %v", host, got, want)
		}
	}
}

func TestListenerIsNamedByItsNamesAndAddresses(t *testing.T) {
	hosts := NewHosts("10.0.0.5:8010", "Admin.example.com", "")
	arrived := &net.TCPAddr{IP: net.ParseIP("192.168.7.7"), Port: 8010}
	for header, want := range map[string]bool{
		"127.0.0.1:8010": true, "127.9.9.9": true, "[::1]:8010": true, "[::1]": true, "::1": true, "[::ffff:127.0.0.1]:80": true,
		"localhost:8010": true, "LocalHost": true, "admin.example.com": true, "ADMIN.example.com:443": true,
		"10.0.0.5": true, "192.168.7.7:8010": true, "[::ffff:192.168.7.7]:1": true,
		"": false, "evil.test": false, "x.admin.example.com": false, "x.localhost": false, "localhost.evil.test": false,
		"evil.test@127.0.0.1": false, "8.8.8.8": false, "192.168.7.8:8010": false, "0.0.0.0:8010": false, "2130706433": false,
		"localhost\x00evil.test": false,
	} {
		if got := hosts.Match(header, arrived); got != want {
			t.Errorf("Match(%q) = %v, want %v", header, got, want)
		}
	}
	if hosts.Match("192.168.7.7", nil) {
		t.Error("an address nobody arrived at is taken for the listener's own")
	}
}
