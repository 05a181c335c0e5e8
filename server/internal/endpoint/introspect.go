package endpoint

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// signedAnswer is the type of RFC 9701.
const signedAnswer = "application/token-introspection+jwt"

var inactive = []byte(`{"active":false}`)

// introspect is POST /oauth2/introspect (RFC 7662). It takes no token_type_hint into account, for
// there is one type of token.
func (e *endpoints) introspect(q *request) error {
	token, p, bad := e.aboutToken(q)
	if bad != nil {
		return bad
	}
	by, id, err := e.issuer.Authenticate(q.r.Context(), q.from, p)
	if err != nil {
		q.decision(id)
		return err
	}
	body := inactive
	if t := e.issuer.Introspect(by, token); t != nil {
		body = describe(t)
	}
	h := q.w.Header()
	h["Vary"] = []string{"Accept"}
	if !accepts(q.r.Header["Accept"], signedAnswer) {
		web.WriteJSON(q.w, http.StatusOK, body)
		return nil
	}
	signed, err := e.issuer.SignIntrospection(by, body)
	if err != nil {
		return web.Unavailable("the server cannot sign now", err)
	}
	h["Content-Type"] = []string{signedAnswer}
	h["Cache-Control"] = []string{"no-store"}
	_, _ = q.w.Write([]byte(signed)) // a client that went away needs none
	return nil
}

// aboutToken reads what introspection and revocation have in common.
func (e *endpoints) aboutToken(q *request) (token string, p clientauth.Presented, bad *problem) {
	if p, bad = e.presented(q); bad != nil {
		return "", p, bad
	}
	if token = q.form.get("token"); token == "" {
		return "", p, malformed("no_token", "token is missing")
	}
	return token, p, nil
}

// describe is the claims of the token with what RFC 7662, section 2.2, has besides. The claims are this
// server's own, and the one who asks is whom they are for.
func describe(t *issuer.Inspected) []byte {
	kind := issuer.Bearer
	if t.Claims.KeyThumbprint != "" {
		kind = issuer.DPoP // RFC 9449, section 6.2
	}
	b := make([]byte, 0, len(t.Claims.Raw)+48)
	b = append(b, `{"active":true,"token_type":"`...)
	b = append(b, kind...)
	b = append(b, `",`...)
	return append(b, t.Claims.Raw[1:]...)
}

// accepts reports whether an Accept header names the media type, other than to exclude it.
func accepts(values []string, mediaType string) bool {
	for _, v := range values {
		for one := range strings.SplitSeq(v, ",") {
			t, params, err := mime.ParseMediaType(one)
			if err != nil || t != mediaType {
				continue
			}
			q, err := strconv.ParseFloat(params["q"], 64)
			return params["q"] == "" || err == nil && q > 0
		}
	}
	return false
}
