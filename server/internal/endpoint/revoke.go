package endpoint

import (
	"net/http"

	"github.com/watchword-dev/watchword/server/internal/web"
)

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
	// A client ignores the body (RFC 7009, section 2.2), but simple-oauth2 takes an answer of another type for a
	// failure, and @badgateway/oauth2-client a body that is no JSON.
	web.WriteJSON(q.w, http.StatusOK, []byte("{}"))
	return nil
}
