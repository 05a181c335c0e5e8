package admin

import (
	"mime"
	"net/http"
	"net/url"
	"strings"
)

var (
	errHost   = problem("host_not_allowed")
	errOrigin = problem("cross_site")
	errMedia  = problem("unsupported_media_type")
)

// isForeign reports whether a browser sent the request for a page of another origin. A page of
// another port of this machine is another origin, though browsers call it the same site.
func isForeign(r *http.Request) bool {
	for _, site := range r.Header.Values("Sec-Fetch-Site") {
		if site != "same-origin" && site != "none" {
			return true
		}
	}
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.EqualFold(u.Host, r.Host) {
			return true
		}
	}
	return false
}

// hasJSON reports whether the request has no body, or names JSON as its type. Forms and
// text/plain are what a page may send without asking first.
func hasJSON(r *http.Request) bool {
	if r.ContentLength == 0 && len(r.Header.Values("Content-Type")) == 0 {
		return true
	}
	if len(r.Header.Values("Content-Type")) != 1 {
		return false
	}
	media, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		return false
	}
	charset, ok := parameters["charset"]
	return !ok && len(parameters) == 0 || len(parameters) == 1 && strings.EqualFold(charset, "utf-8")
}
