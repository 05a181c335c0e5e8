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

// CheckTLSSubject says whether s can be the material of a directory.KindTLSSubject: exactly one
// attribute of a certificate (RFC 8705, section 2.1.2), after "dn:", "dns:", "uri:", "ip:" or
// "email:". The error is for the operator.
func CheckTLSSubject(s string) error {
	kind, name, _ := strings.Cut(s, ":")
	switch kind {
	case "dn":
		_, err := parseDN(name)
		return err
	case "dns":
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' || r == '*' }) {
			return errors.New("must have the name of one host after dns:, without a wildcard")
		}
	case "uri":
		if u, err := url.Parse(name); err != nil || !u.IsAbs() || u.String() != name {
			return errors.New("must have an absolute URI after uri:, as in uri:spiffe://example.org/m6")
		}
	case "ip":
		if a, err := netip.ParseAddr(name); err != nil || a.Zone() != "" {
			return errors.New("must have an IP address after ip:")
		}
	case "email":
		if local, domain, ok := strings.Cut(name, "@"); !ok || local == "" || domain == "" {
			return errors.New("must have an address after email:")
		}
	default:
		return errors.New("must begin with dn:, dns:, uri:, ip: or email:")
	}
	return nil
}

// isSubject says whether the certificate is for subject: its whole distinguished name, or one
// of the alternative names of that kind. A name in the wrong place is none, and there are no
// wildcards.
func isSubject(subject string, c *x509.Certificate) bool {
	kind, name, _ := strings.Cut(subject, ":")
	switch kind {
	case "dn":
		want, err := parseDN(name)
		return err == nil && want.equal(subjectDN(c))
	case "dns": // RFC 4343: case is not significant
		return slices.ContainsFunc(c.DNSNames, func(s string) bool { return strings.EqualFold(s, name) && isASCII(s) })
	case "uri":
		return slices.ContainsFunc(c.URIs, func(u *url.URL) bool { return u.String() == name })
	case "ip":
		want, err := netip.ParseAddr(name)
		return err == nil && slices.ContainsFunc(c.IPAddresses, func(ip net.IP) bool {
			a, ok := netip.AddrFromSlice(ip)
			return ok && a.Unmap() == want.Unmap()
		})
	case "email": // only the domain is known to ignore case (RFC 5321, section 2.4)
		local, domain, _ := strings.Cut(name, "@")
		return slices.ContainsFunc(c.EmailAddresses, func(s string) bool {
			l, d, _ := strings.Cut(s, "@")
			return l == local && strings.EqualFold(d, domain) && isASCII(d)
		})
	}
	return false
}

// isASCII keeps out letters that fold to others, as the Kelvin sign does to k.
func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
