package directory

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/watchword-dev/watchword/api"
)

// Bounds of what a service may list.
const (
	MaxAudiences = 16
	maxAudience  = 512
	MaxLabels    = 32
)

// members are the settings of a service.
var members = api.ServiceMembers()

// sort brings the lists of s into the form in which they are stored and compared.
func (s *Service) sort() {
	for _, m := range members {
		list, ok := m.Of(&s.ServiceSettings).(*[]string)
		if !ok {
			continue
		}
		sorted := slices.Clone(*list) // the caller's stays as it is
		slices.Sort(sorted)
		if *list = slices.Compact(sorted); len(sorted) == 0 {
			*list = nil
		}
	}
}

// checkTerms holds what a service may ask for, and how, against the rules of this package.
func (o Options) checkTerms(s Service) error {
	if s.Binding != "" && !slices.Contains(api.NamesOf(api.Bindings()), s.Binding) {
		return &InvalidError{"binding", "must be " + strings.Join(api.NamesOf(api.Bindings()), ", ") + ", or empty"}
	}
	if len(s.Audiences) > MaxAudiences {
		return &InvalidError{"audiences", fmt.Sprintf("must not be more than %d", MaxAudiences)}
	}
	for _, a := range s.Audiences {
		if err := parseAudience(a); err != nil {
			return err
		}
		if slices.ContainsFunc(o.Reserved, func(own string) bool { return within(a, own) }) {
			return &InvalidError{"audiences", fmt.Sprintf("must not have %q, which is the server's own", a)}
		}
	}
	for _, l := range s.Labels {
		name, value, ok := strings.Cut(l, "=")
		if !ok || !IsLabel(name) || !IsLabel(value) || len(s.Labels) > MaxLabels {
			return &InvalidError{"labels", fmt.Sprintf("must be at most %d, as in team=web: letters, digits, '.', '_', '-' and '/', 1 to 63 on either side", MaxLabels)}
		}
	}
	if !text(s.Owner, 128) {
		return &InvalidError{"owner", "must be printable text of at most 128 bytes"}
	}
	if err := checkProbe(s.Probe); err != nil {
		return err
	}
	if err := checkTarget(s.DefaultTarget); err != nil {
		return err
	}
	if err := checkWords("authMethods", s.AuthMethods, o.AuthMethods); err != nil {
		return err
	}
	return checkWords("grantTypes", s.GrantTypes, o.GrantTypes)
}

// IsLabel reports whether s can stand on either side of a label.
func IsLabel(s string) bool {
	return len(s) > 0 && len(s) < 64 && !strings.ContainsFunc(s, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-/", c))
	})
}

// checkProbe: what is sent there are tokens that are good for nothing, so http will do.
func checkProbe(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" || len(s) > 1024 {
		return &InvalidError{"probe", "must be an http or https URL without user and fragment, as in https://orders.example.com/hello"}
	}
	return nil
}

// checkTarget: a name or an audience. Whether there is such a service is asked when it matters.
func checkTarget(s string) error {
	if s == "" {
		return nil
	}
	if _, err := ParseName(s); err == nil {
		return nil
	}
	if err := parseAudience(s); err != nil {
		return &InvalidError{"defaultTarget", "must be the name of a service, or an audience of one"}
	}
	return nil
}

// checkWords reports whether words are all of known. Nil knows any that can be stored, with one space
// between two.
func checkWords(field string, words, known []string) error {
	for _, word := range words {
		switch {
		case known != nil && !slices.Contains(known, word):
			return &InvalidError{field, fmt.Sprintf("must not have %q; there are: %s", word, strings.Join(known, ", "))}
		case word == "", len(word) > 128, strings.ContainsFunc(word, func(r rune) bool { return r <= ' ' || r > '~' }):
			return &InvalidError{field, "must have names as the metadata lists them"}
		}
	}
	return nil
}

// within reports whether an audience is an issuer of this server or below it: no token may ever be
// good at the server itself (RFC 8725, section 3.12). Another spelling of the same host is too.
func within(audience, own string) bool {
	audience, own = strings.ToLower(audience), strings.TrimRight(strings.ToLower(own), "/")
	rest, below := strings.CutPrefix(audience, own)
	return own != "" && below && (rest == "" || strings.ContainsRune("/?", rune(rest[0])))
}

// parseAudience: RFC 8707, section 2: an absolute URI without a fragment. One that could be read
// in two ways, or shows a password, is none either.
func parseAudience(s string) error {
	invalid := func(problem string) error { return &InvalidError{"audiences", problem} }
	if len(s) > maxAudience || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\<>^{|}`+"`", r) }) {
		return invalid(fmt.Sprintf("must be URIs of at most %d characters of ASCII, without spaces", maxAudience))
	}
	u, err := url.Parse(s)
	if err != nil || !u.IsAbs() || u.Opaque == "" && u.Host == "" && u.Path == "" {
		return invalid("must be absolute URIs, as in https://orders.example.com or urn:example:orders")
	}
	if u.User != nil || strings.Contains(s, "#") {
		return invalid("must not have a fragment or a user (RFC 8707, section 2)")
	}
	return nil
}
