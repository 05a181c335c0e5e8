package outbound

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"
)

func addrs(all ...string) (a []netip.Addr) {
	for _, s := range all {
		a = append(a, netip.MustParseAddr(s))
	}
	return a
}

// Where clouds answer with the machine's own credentials, and every way to write it.
var metadata = addrs(
	"169.254.169.254", "fe80::1", "fd00:ec2::254", "fd20:ce::254", "fd00:42::42", "100.100.100.200", "168.63.129.16", "192.0.0.192",
	"::ffff:169.254.169.254", "::ffff:0:169.254.169.254", "::169.254.169.254", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe",
	"2002:a9fe:a9fe::1", "2001:0:a9fe:a9fe::1", "2001:0:808:808:0:0:5601:5601", "2606:4700::5efe:169.254.169.254",
	"64:ff9b::100.100.100.200", "2002:a83f:8110::", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255",
)

// F87, FED-011. Whatever is configured, nothing that the server fetches leads to a metadata service.
func TestMetadataServicesAreNeverReached(t *testing.T) {
	all := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
	for _, a := range metadata {
		for _, p := range []Policy{{}, {Private: true}, {Networks: all}, {Private: true, Networks: all}} {
			if p.Allows(a) {
				t.Errorf("%+v allows %s", p, a)
			}
		}
	}
}

func TestPublicAddressesAreAllowedAndOthersOnlyWhenSaid(t *testing.T) {
	networks := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("64:ff9b::/96")}
	for _, c := range []struct {
		addresses                  []netip.Addr
		public, private, networked bool
	}{
		{addrs("8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8"), true, true, true},
		{addrs("10.1.2.3", "127.0.0.1", "::ffff:127.0.0.1"), false, true, true},
		{addrs("192.168.0.1", "172.16.0.1", "fd12::1", "::1", "100.64.0.1", "192.0.2.1"), false, true, false},
		// A translator's network is allowed, and so is what it leads to, or it is not.
		{addrs("64:ff9b::8.8.8.8", "64:ff9b::10.1.2.3"), false, true, true},
		{addrs("64:ff9b::192.168.0.1", "::ffff:0:127.0.0.1", "2002:7f00:1::"), false, true, false},
	} {
		for _, a := range c.addresses {
			for p, want := range map[*Policy]bool{{}: c.public, {Private: true}: c.private, {Networks: networks}: c.networked} {
				if p.Allows(a) != want {
					t.Errorf("%s by %+v: got %v, want %v", a, *p, !want, want)
				}
			}
		}
	}
}

// FED-011. What is not public is refused, in whatever way it is written.
func TestAddressesThatAreNotPublicAreRefused(t *testing.T) {
	for _, a := range addrs("172.16.0.1", "198.18.0.1", "240.0.0.1", "0.1.2.3", "fc00::1", "fec0::1", "64:ff9b::a00:1", "2002:a00:1::", "2001::1", "::10.0.0.1", "2001:db8::1") {
		if (Policy{}).Allows(a) {
			t.Errorf("%s is allowed", a)
		}
	}
	for _, s := range []string{"[::ffff:127.0.0.1]:80", "[fe80::1%eth0]:80", "garbage"} {
		if (Policy{}).control("tcp", s, nil) == nil {
			t.Errorf("%s may be connected to", s)
		}
	}
}

// A real connection is refused before a byte of the request is sent.
func TestClientConnectsOnlyWhereItMay(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	if _, err := (Policy{Setting: "oauth.jwks_networks"}).Client(time.Second).Get(server.URL); err == nil || asked != 0 {
		t.Errorf("got %v, asked %d times", err, asked)
	}
	resp, err := (Policy{Private: true}).Client(time.Second).Get(server.URL)
	if err != nil || asked != 1 {
		t.Fatalf("got %v, asked %d times", err, asked)
	}
	_ = resp.Body.Close()
}
