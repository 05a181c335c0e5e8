package endpoint

import "net/http"

// revoke is POST /oauth2/revoke (RFC 7009). A token that is not good, or not known, is no error
// (section 2.2); one that could not be revoked for a fault of the server is (section 2.2.1).
func (e *endpoints) revoke(q *request) error {
	token, p, bad := e.aboutToken(q)
	if bad != nil {
		return bad
	}
	by, id, err := e.issuer.Authenticate(q.r.Context(), q.from, p)
	if err == nil {
		id, err = e.issuer.Revoke(q.r.Context(), q.from, by, token)
	}
	q.decision(id)
	if err != nil {
		return err
	}
	h := q.w.Header()
	h["Cache-Control"] = []string{"no-store"}
	// There is no content (RFC 7009, section 2.2), but simple-oauth2 takes 200 for a failure unless this is said.
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{"0"}
	q.w.WriteHeader(http.StatusOK)
	return nil
}
