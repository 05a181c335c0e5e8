package endpoint

import (
	"net/http"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/server/internal/web"
)

// jwks answers with the keys with which access tokens are checked (RFC 7517, section 5). The answer is the same
// whatever the request says, so that no cache on the way can be made to keep a wrong one.
func (e *endpoints) jwks(w http.ResponseWriter, r *http.Request) error {
	body, etag, maxAge := e.keys.JWKS()
	if etag == "" {
		return web.Unavailable("the keys are not loaded yet", nil)
	}
	h := w.Header()
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
	h.Set("Access-Control-Allow-Origin", "*") // public keys, for pages that verify tokens too
	web.WriteCached(w, r, "application/json", etag, body)
	return nil
}
