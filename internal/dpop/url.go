package dpop

import (
	"errors"
	"strings"
)

var errNotURL = errors.New("not an absolute http or https URL")

// normalise returns the URL of a request in normal form, without query and fragment (RFC 9449, section 4.3, item 9,
// which requires RFC 3986, sections 6.2.2 and 6.2.3). It does not use net/url, which decodes paths and so does not
// distinguish %2F from /.
func normalise(s string) (string, error) {
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		s = s[:i]
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte("\\\"<>^`{|}", c) >= 0 {
			return "", errNotURL // RFC 3986 does not allow these
		}
	}
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return "", errNotURL
	}
	authority, path := rest, "/"
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	host, err := normaliseHost(scheme, authority)
	if err != nil {
		return "", err
	}
	if path, err = normalisePath(path); err != nil {
		return "", err
	}
	if n := len(scheme) + len("://") + len(host); strings.HasPrefix(s, scheme) && len(s) == n+len(path) && s[len(scheme)+3:n] == host && s[n:] == path {
		return s, nil // the usual case
	}
	return scheme + "://" + host + path, nil
}

// normaliseHost removes the default port of the scheme.
func normaliseHost(scheme, authority string) (string, error) {
	// User information and encoded hosts can make a URL look like another one.
	if strings.ContainsAny(authority, "@%") {
		return "", errNotURL
	}
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		host, port = authority[:i], authority[i+1:]
	}
	if host == "" || strings.Trim(port, "0123456789") != "" {
		return "", errNotURL
	}
	host = strings.ToLower(host)
	if port == "" || scheme == "http" && port == "80" || scheme == "https" && port == "443" {
		return host, nil
	}
	return host + ":" + port, nil
}

// normalisePath decodes characters that need no encoding, writes the other encodings in upper case, and then
// removes dot segments. An encoded dot is a dot.
func normalisePath(path string) (string, error) {
	if strings.IndexByte(path, '%') >= 0 {
		var err error
		if path, err = normaliseEncoding(path); err != nil {
			return "", err
		}
	}
	if !strings.Contains(path, "/.") {
		return path, nil
	}
	return removeDotSegments(path), nil
}

func normaliseEncoding(path string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			b.WriteByte(path[i])
			continue
		}
		if i+2 >= len(path) {
			return "", errNotURL
		}
		high, low := unhex(path[i+1]), unhex(path[i+2])
		if high < 0 || low < 0 {
			return "", errNotURL
		}
		if c := byte(high<<4 | low); isUnreserved(c) {
			b.WriteByte(c)
		} else {
			b.WriteString("%" + strings.ToUpper(path[i+1:i+3]))
		}
		i += 2
	}
	return b.String(), nil
}

func unhex(c byte) int {
	if 'A' <= c && c <= 'F' {
		c += 'a' - 'A'
	}
	return strings.IndexByte("0123456789abcdef", c)
}

// isUnreserved reports whether c is an unreserved character (RFC 3986, section 2.3).
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// removeDotSegments removes dot segments (RFC 3986, section 5.2.4) from a path that begins with a slash.
func removeDotSegments(path string) string {
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, s)
			continue
		}
		if last {
			kept = append(kept, "") // "/a/." is "/a/"
		}
	}
	return "/" + strings.Join(kept, "/")
}

// IsURL reports whether s is an absolute http or https URL for which there can be a proof.
func IsURL(s string) bool {
	_, err := normalise(s)
	return err == nil
}
