package config

import (
	"fmt"
	"net"

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
	if c.ClientCAFile != "" && !c.TLS.Enabled() && len(c.Proxy.Networks) == 0 {
		add("tls.client_ca_file", "is set where no client can present a certificate",
			"set tls.cert_file and tls.key_file, or proxy.networks when a proxy in front terminates TLS, or leave it out")
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
