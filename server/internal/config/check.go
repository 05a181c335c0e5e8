package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"github.com/watchword-dev/watchword/internal/netaddr"
)

// listener is what the checks need to know of each.
type listener struct {
	key, addr string
	tlsKey    string
	tls       TLS
}

func (c *Config) listeners() []listener {
	all := []listener{
		{"listen", c.Listen, "tls", c.TLS},
		{"admin.listen", c.Admin.Listen, "admin.tls", c.Admin.TLS},
	}
	if c.SuperTokens.Enabled() {
		all = append(all, listener{"supertokens.listen", c.SuperTokens.Listen, "supertokens.tls", c.SuperTokens.TLS})
	}
	return all
}

// check looks for values that are right alone and wrong together. A value that could not be
// read is its zero value here, and is not complained of again.
func (l *Loaded) check() []Problem {
	c, problems := &l.Config, []Problem(nil)
	add := func(key, text, fix string) {
		problems = append(problems, Problem{key, l.sources[key], text, fix})
	}
	taken := map[string]string{}
	for _, ln := range c.listeners() {
		if ln.tls.CertFile != "" && ln.tls.KeyFile == "" {
			add(ln.tlsKey+".cert_file", "is set without "+ln.tlsKey+".key_file", "set both or neither")
		}
		if ln.tls.KeyFile != "" && ln.tls.CertFile == "" {
			add(ln.tlsKey+".key_file", "is set without "+ln.tlsKey+".cert_file", "set both or neither")
		}
		if ln.addr == "" {
			continue
		}
		// TOK-045: RFC 6749, section 3.2: tokens travel over TLS.
		if !loopback(ln.addr) && !ln.tls.Enabled() && !c.InsecureHTTP {
			add(ln.key, fmt.Sprintf("%s can be reached from other machines, without TLS", ln.addr),
				fmt.Sprintf("set %s.cert_file and %s.key_file, or insecure_http: true when something in front terminates TLS, or listen on 127.0.0.1", ln.tlsKey, ln.tlsKey))
		}
		if _, port, _ := net.SplitHostPort(ln.addr); port == "0" {
			continue
		}
		if other := taken[ln.addr]; other != "" {
			add(ln.key, fmt.Sprintf("%s is the address of %s too", ln.addr, other), "give each its own")
		}
		taken[ln.addr] = ln.key
	}
	// MTL-013: nobody must think that certificates are looked at where none can arrive.
	if c.Proxy.CertificateHeader != "" && len(c.Proxy.Networks) == 0 {
		add("proxy.certificate_header", "is set, and no proxy that may send it", "set proxy.networks, or leave it out")
	}
	if c.ClientCAFile != "" && !c.TLS.Enabled() && c.Proxy.CertificateHeader == "" {
		add("tls.client_ca_file", "is set where no client can present a certificate",
			"set tls.cert_file and tls.key_file, or proxy.networks and proxy.certificate_header if a proxy in front terminates TLS, or leave it out")
	}
	if c.Token.MaxTTL != 0 && c.Token.TTL > c.Token.MaxTTL {
		add("token.ttl", fmt.Sprintf("is longer than token.max_ttl (%s)", FormatDuration(c.Token.MaxTTL)), "shorten the one or lengthen the other")
	}
	if c.Token.ReuseWindow != 0 && c.Token.TTL != 0 && c.Token.ReuseWindow > c.Token.TTL/2 {
		add("token.reuse_window", fmt.Sprintf("is longer than half of token.ttl (%s)", FormatDuration(c.Token.TTL)), "choose a few seconds")
	}
	if c.Keys.RotateEvery != 0 && c.Keys.RotateEvery < 2*c.Keys.PublishLead {
		add("keys.rotate_every", fmt.Sprintf("is shorter than twice keys.publish_lead (%s)", FormatDuration(c.Keys.PublishLead)), "lengthen the one or shorten the other")
	}
	if c.Keys.RotateEvery != 0 && c.Token.MaxTTL/c.Keys.RotateEvery > maxScheduledKeys {
		add("keys.rotate_every", fmt.Sprintf("is so short that more than %d keys of an algorithm would be published at a time, since tokens live up to token.max_ttl (%s)", maxScheduledKeys, FormatDuration(c.Token.MaxTTL)), "lengthen it or shorten token.max_ttl")
	}
	if c.SuperTokens.TrustBootstrap && !c.SuperTokens.Enabled() {
		add("supertokens.trust_bootstrap", "is true while the SuperTokens interface is off", "set supertokens.api_keys, or leave it out")
	}
	return problems
}

// maxScheduledKeys bounds the keys of one algorithm that scheduled rotations keep published. With four algorithms, and
// the keys.MaxPublished after which an operator cannot rotate, a key set stays below the jose.MaxKeys that verifiers read.
const maxScheduledKeys = 60

// loopback reports whether addr can be reached from this machine only.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	return err == nil && netaddr.IsLoopback(host)
}

// Warnings are what is probably not meant, with what to do about each. A server starts nevertheless.
func (l *Loaded) Warnings() []Problem {
	c, all := &l.Config, []Problem{}
	own, err := url.Parse(issuerOfListener(c))
	given, errGiven := url.Parse(c.Issuer)
	if err != nil || errGiven != nil {
		return all // check complains
	}
	host, port, _ := net.SplitHostPort(c.Listen)
	inFront := len(c.Proxy.Networks) > 0 || c.InsecureHTTP && !c.TLS.Enabled() // something has the URL instead
	add := func(text, fix string) { all = append(all, Problem{"issuer", l.sources["issuer"], text, fix}) }
	switch isDefault := l.sources["issuer"] == "default"; {
	case isDefault && port == "0":
		add(fmt.Sprintf("is %s, and the port of listen (%s) is chosen when the server starts", c.Issuer, c.Listen), "set both with the same port")
	case isDefault && !loopback(c.Listen) && (inFront || netaddr.IsLoopback(own.Hostname())):
		add(fmt.Sprintf("is %s, at which clients on other machines do not reach this server", c.Issuer), "set it to the URL by which they do")
	case isDefault || inFront || port == "0" || !loopback(c.Listen) || !netaddr.IsLoopback(given.Hostname()):
		// It may be as it should be.
	case given.Scheme != own.Scheme || portOf(given) != portOf(own) || !sameLoopback(given.Hostname(), host):
		add(fmt.Sprintf("is %s, at which no client reaches listen (%s)", c.Issuer, c.Listen),
			fmt.Sprintf("leave it out, for %s, or set proxy.networks if a proxy on this machine has that URL", own))
	}
	return all
}

func portOf(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return defaultPort[u.Scheme]
}

// sameLoopback reports whether two loopback hosts may be one: names are resolved by each client.
func sameLoopback(a, b string) bool {
	ipA, errA := netip.ParseAddr(a)
	ipB, errB := netip.ParseAddr(b)
	return errA != nil || errB != nil || ipA.Unmap() == ipB.Unmap()
}
