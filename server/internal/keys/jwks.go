package keys

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// JWKS is the published key set, its entity tag, and how long a verifier may keep it. The
// body is not to be changed.
func (r *Ring) JWKS() (body []byte, etag string, maxAge time.Duration) {
	s := r.snapshot.Load()
	return s.jwks, s.etag, r.maxAge
}

// ServeJWKS answers with the published key set. The answer is the same whatever the request
// says, so that no cache on the way can be made to keep a wrong one.
func (r *Ring) ServeJWKS(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	body, etag, maxAge := r.JWKS()
	if etag == "" {
		h.Set("Cache-Control", "no-store")
		http.Error(w, "key ring is not loaded yet", http.StatusServiceUnavailable)
		return
	}
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
	h.Set("ETag", etag)
	h.Set("Access-Control-Allow-Origin", "*") // public keys, for pages that verify tokens too
	if matches(req.Header.Values("If-None-Match"), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // net/http drops the body of an answer to HEAD; a client that went away needs none
}

// matches compares as RFC 9110, section 13.1.2 asks: weakly, and * is any.
func matches(ifNoneMatch []string, etag string) bool {
	for _, line := range ifNoneMatch {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
