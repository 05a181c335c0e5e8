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
	if !wantsSigned(q.r.Header["Accept"]) {
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

// wantsSigned reports whether an Accept header names the signed answer, and does not prefer the other one.
func wantsSigned(accept []string) bool {
	q := quality(accept, signedAnswer)
	return q > 0 && q >= quality(accept, "application/json", "application/*", "*/*")
}

// quality is the weight that an Accept header gives to the first of the media ranges that it has, and 0 if it has none
// of them (RFC 9110, section 12.5.1).
func quality(accept []string, ranges ...string) float64 {
	for _, r := range ranges {
		for one := range strings.SplitSeq(strings.Join(accept, ","), ",") {
			t, params, err := mime.ParseMediaType(one)
			if err != nil || t != r {
				continue
			}
			if params["q"] == "" {
				return 1
			}
			q, err := strconv.ParseFloat(params["q"], 64)
			if err != nil {
				return 0
			}
			return q
		}
	}
	return 0
}
