package keys

import "time"

// JWKS is the published key set, its entity tag, and how long a verifier may keep it. The
// body is not to be changed.
func (r *Ring) JWKS() (body []byte, etag string, maxAge time.Duration) {
	s := r.snapshot.Load()
	return s.jwks, s.etag, r.maxAge
}
