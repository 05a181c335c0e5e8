package oauth

import (
	"net/http"

	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// Revoke is POST /oauth2/revoke (RFC 7009). A token that is not good, or not known, is no error
// (section 2.2); one that could not be revoked for a fault of the server is (section 2.2.1).
func (d *Doors) Revoke() web.HandlerFunc { return d.door(issuer.RevokeEndpoint, d.revoke) }

func (d *Doors) revoke(q *request) error {
	token, p, bad := d.aboutToken(q)
	if bad != nil {
		return d.refuse(q, bad)
	}
	by, id, err := d.issuer.Authenticate(q.r.Context(), q.from, p)
	if err == nil {
		id, err = d.issuer.Revoke(q.r.Context(), q.from, by, token)
	}
	if err != nil {
		return d.answer(q, id, err, nil)
	}
	h := q.w.Header()
	h[web.DecisionHeader] = []string{id}
	h["Cache-Control"] = []string{"no-store"}
	// There is no content (RFC 7009, section 2.2), but simple-oauth2 takes 200 for a failure unless this is said.
	h["Content-Type"] = []string{"application/json"}
	h["Content-Length"] = []string{"0"}
	q.w.WriteHeader(http.StatusOK)
	return nil
}
