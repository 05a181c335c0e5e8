package supertokens

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// target is what a path names.
type target struct {
	endpoint *endpoint
	app      string
	tenant   string // empty: the default one
}

var (
	appSegment    = regexp.MustCompile(`^appid-[a-z0-9-]*$`)
	tenantSegment = regexp.MustCompile(`^[a-z0-9-]+$`)
	// notTenants begin paths of the core itself.
	notTenants = []string{"recipe", "config", "users", "hello"}
)

// parsePath reads base path, app, tenant and endpoint, in this order, whatever the case. A
// path of nothing known is &unknown.
func (d *Interface) parsePath(u *url.URL) target {
	t := target{endpoint: &unknown, app: publicApp}
	// A path written in an unusual way, %2F for a slash, is nothing that a client sends.
	if u.RawPath != "" {
		return t
	}
	rest := segments(u.Path)
	if len(rest) < len(d.base) || !slices.Equal(rest[:len(d.base)], d.base) {
		return t
	}
	rest = rest[len(d.base):]
	if len(rest) > 0 && appSegment.MatchString(rest[0]) {
		if app := strings.TrimPrefix(rest[0], "appid-"); app != "" {
			t.app = app
		}
		rest = rest[1:]
	}
	if e := findEndpoint(rest); e != nil {
		t.endpoint = e
	} else if len(rest) > 1 && tenantSegment.MatchString(rest[0]) && !slices.Contains(notTenants, rest[0]) {
		if e := findEndpoint(rest[1:]); e != nil {
			t.endpoint = e
			if rest[0] != "public" {
				t.tenant = rest[0]
			}
		}
	}
	return t
}

// segments splits a path. Repeated and trailing slashes do not count.
func segments(path string) []string {
	return strings.FieldsFunc(strings.ToLower(path), func(c rune) bool { return c == '/' })
}

func findEndpoint(segments []string) *endpoint {
	path := "/" + strings.Join(segments, "/")
	for i := range endpoints {
		if endpoints[i].path == path {
			return &endpoints[i]
		}
	}
	return nil
}
