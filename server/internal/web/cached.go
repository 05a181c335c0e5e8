package web

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
)

// ETag is a strong entity tag for body (RFC 9110, section 8.8.3).
func ETag(body []byte) string {
	sum := sha256.Sum256(body)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}

// WriteCached answers a GET or HEAD with body, or with 304 when the client has it (RFC 9110, section 15.4.5). An
// empty etag is none. Unlike http.ServeContent it answers the same to all that ask for a part: a shared cache
// keeps nothing that one client chose.
func WriteCached(w http.ResponseWriter, r *http.Request, mediaType, etag string, body []byte) {
	h := w.Header()
	if etag != "" {
		h.Set("ETag", etag)
		if HasCurrent(r, etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", mediaType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // net/http drops the body of an answer to HEAD; a client that went away needs none
}

// HasCurrent reports whether the client says that it has what etag names: If-None-Match is compared weakly, and
// * is any (RFC 9110, section 13.1.2).
func HasCurrent(r *http.Request, etag string) bool {
	for _, line := range r.Header["If-None-Match"] {
		for tag := range strings.SplitSeq(line, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
				return true
			}
		}
	}
	return false
}
