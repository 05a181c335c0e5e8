package trust

import (
	"errors"
	"fmt"
	"strings"
)

const spiffeScheme = "spiffe://"

// ParseSPIFFEID splits the SPIFFE ID of a workload into its trust domain and its path, which begins with a slash and is not
// empty (SPIFFE-ID, sections 2.1 to 2.3).
func ParseSPIFFEID(id string) (domain, path string, err error) {
	if len(id) > 2048 {
		return "", "", errors.New("it is longer than 2048 bytes")
	}
	rest, ok := strings.CutPrefix(id, spiffeScheme)
	if !ok {
		return "", "", fmt.Errorf("it does not begin with %s", spiffeScheme)
	}
	domain, segments, _ := strings.Cut(rest, "/")
	if domain == "" || len(domain) > 255 || strings.ContainsFunc(domain, func(r rune) bool { return !isIDChar(r) }) {
		return "", "", errors.New("its trust domain does not consist of 1 to 255 lower-case letters, digits, '.', '-' and '_'")
	}
	if segments == "" {
		return "", "", errors.New("it has no path: it names the trust domain, not a workload")
	}
	for segment := range strings.SplitSeq(segments, "/") {
		switch {
		case segment == "":
			return "", "", errors.New("a segment of its path is empty")
		case segment == "." || segment == "..":
			return "", "", fmt.Errorf("its path has the segment %q", segment)
		case strings.ContainsFunc(segment, func(r rune) bool { return !isIDChar(r) && !(r >= 'A' && r <= 'Z') }):
			return "", "", errors.New("its path has other characters than letters, digits, '.', '-' and '_'")
		}
	}
	return domain, "/" + segments, nil
}

// CheckID checks that id is the SPIFFE ID of a workload of a trust domain, which is given as the issuer of its trust:
// spiffe://TRUST-DOMAIN.
func CheckID(issuer, id string) error {
	domain, _, err := ParseSPIFFEID(id)
	if err == nil && spiffeScheme+domain != issuer {
		err = fmt.Errorf("it is of another trust domain than %s", issuer)
	}
	return err
}

func isIDChar(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_'
}
