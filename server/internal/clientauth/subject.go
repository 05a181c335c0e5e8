package clientauth

import (
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// ParseTLSSubject makes of s the material of a directory.KindTLSSubject: exactly one attribute of a
// certificate (RFC 8705, section 2.1.2), after "dn:", "dns:", "uri:", "ip:" or "email:". The error is
// for the operator.
func ParseTLSSubject(s string) (material string, err error) {
	kind, name, _ := strings.Cut(s, ":")
	unprintable := strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
	switch kind {
	case "dn":
		_, err := parseDN(name)
		return s, err
	case "dns":
		if name == "" || unprintable || strings.ContainsAny(name, "*:/@") {
			return "", errors.New("must be the name of one host, without a wildcard")
		}
		return "dns:" + strings.ToLower(name), nil
	case "uri":
		if u, err := url.Parse(name); err != nil || unprintable || !u.IsAbs() || u.String() != name {
			return "", errors.New("must be an absolute URI, as in spiffe://example.org/m6")
		}
		return s, nil
	case "ip":
		a, err := netip.ParseAddr(name)
		if err != nil || a.Zone() != "" {
			return "", errors.New("must be an IP address")
		}
		return "ip:" + a.Unmap().String(), nil
	case "email":
		if local, domain, _ := strings.Cut(name, "@"); local == "" || domain == "" || unprintable {
			return "", errors.New("must be an email address")
		}
		return s, nil
	}
	return "", errors.New("must begin with one of dn:, dns:, uri:, ip: and email: before the name")
}

// isSubject reports whether the certificate is for subject: its whole distinguished name, or one
// of the alternative names of that kind. A name in the wrong place is none, and there are no
// wildcards. In the certificate those are ASCII: crypto/x509 reads no others.
func isSubject(subject string, c *x509.Certificate) bool {
	kind, name, _ := strings.Cut(subject, ":")
	switch kind {
	case "dn":
		want, err := parseDN(name)
		return err == nil && want.equal(subjectDN(c))
	case "dns": // RFC 4343: case is not significant
		return slices.ContainsFunc(c.DNSNames, func(s string) bool { return strings.EqualFold(s, name) })
	case "uri":
		return slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.String() == name })
	case "ip":
		want, err := netip.ParseAddr(name)
		return err == nil && slices.ContainsFunc(c.IPAddresses, func(ip net.IP) bool {
			a, ok := netip.AddrFromSlice(ip)
			return ok && a == want.Unmap() // an IPv6 address in the certificate is none of IPv4, mapped or not
		})
	case "email": // only the domain is known to ignore case (RFC 5321, section 2.4)
		local, domain, _ := strings.Cut(name, "@")
		return slices.ContainsFunc(c.EmailAddresses, func(s string) bool {
			l, d, _ := strings.Cut(s, "@")
			return l == local && strings.EqualFold(d, domain)
		})
	}
	return false
}
