package endpoint

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/strictjson"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// accessToken is POST /accesstoken: a service asks with its bootstrap credential for a token for one target.
func (e *endpoints) accessToken(q *request) error {
	p, bad := parse(q.r)
	if bad != nil {
		return bad
	}
	if p.Presented.Certificates, bad = e.certificates(q); bad != nil {
		return bad
	}
	p.Request, p.Presented.Address, p.Proof = q.from, q.from.Address, e.proof(q, AccessTokenPath)
	t, id, err := e.issuer.AccessToken(q.r.Context(), p)
	q.decision(id)
	if err != nil {
		return err
	}
	web.WriteJSON(q.w, http.StatusOK, encodePlain(t))
	return nil
}

// encodePlain writes the answer with a token. There is nothing in a compact JWS that JSON escapes.
func encodePlain(t issuer.Token) []byte {
	b := make([]byte, 0, len(t.Value)+48)
	b = append(b, `{"accessToken":"`...)
	b = append(b, t.Value...)
	b = append(b, `","expiresIn":`...)
	b = strconv.AppendInt(b, int64(t.ExpiresIn/time.Second), 10)
	if t.Type == issuer.DPoP {
		b = append(b, `,"tokenType":"DPoP"`...)
	}
	return append(b, "}\n"...)
}

// parse reads a request strictly. The query is never read: a credential there would be in the logs of every
// proxy (RFC 6750, section 2.3).
func parse(r *http.Request) (*issuer.Proposal, *problem) {
	p := new(issuer.Proposal)
	var bad *problem
	if p.Presented, bad = bearer(r.Header["Authorization"]); bad != nil {
		return p, bad
	}
	media := r.Header["Content-Type"]
	untyped := len(media) == 0 || len(media) == 1 && media[0] == ""
	if isEncoded(r.Header) || !untyped && !isType(media, "application/json") {
		bad := malformed("unsupported_media_type", "send the body as Content-Type: application/json, in UTF-8 and not compressed")
		bad.status = http.StatusUnsupportedMediaType
		return p, bad
	}
	if r.ContentLength > web.BodyLimit { // a client that expects 100 (Continue) need not send it
		return p, tooLarge()
	}
	var body struct {
		Target string         `json:"target"`
		Scope  string         `json:"scope"`
		Others map[string]any `json:",embed"`
	}
	switch err := strictjson.Read(r.Body, web.BodyLimit, &body); {
	case errors.Is(err, strictjson.ErrTooLarge):
		return p, tooLarge()
	case err != nil:
		return p, malformed("malformed_body", `the body must be one JSON object such as {"target":"m2"}, without repeated members`)
	case nearlyNamed(body.Others, "target", "scope"):
		return p, malformed("malformed_body", "the members of the body are target and scope, in lower case")
	case body.Target == "":
		return p, malformed("no_target", `the body must name the service to call: {"target":"m2"}`)
	}
	scopes, err := directory.ParseScopes(body.Scope)
	if err != nil {
		return p, malformed("malformed_scope", err.Error())
	}
	p.Targets, p.Scopes = []string{body.Target}, scopes
	return p, nil
}

// nearlyNamed reports whether a member has one of names in another case. Members that are unknown are ignored,
// but not those that some readers would take for a known one.
func nearlyNamed(members map[string]any, names ...string) bool {
	for member := range members {
		for _, name := range names {
			if strings.EqualFold(member, name) {
				return true
			}
		}
	}
	return false
}

// bearer reads the Authorization header (RFC 6750, section 2.1).
func bearer(values []string) (clientauth.Presented, *problem) {
	switch len(values) {
	case 0:
		return clientauth.Presented{}, &problem{kind: issuer.Unauthenticated, reason: "no_credential"}
	case 1:
	default:
		return clientauth.Presented{}, twoCredentials()
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	switch {
	// RFC 9110, section 11.1: the scheme is case-insensitive.
	case !strings.EqualFold(scheme, "Bearer"):
		return clientauth.Presented{}, &problem{kind: issuer.Unauthenticated, reason: "not_bearer"}
	case token == "" || strings.ContainsAny(token, " \t,"):
		return clientauth.Presented{}, &problem{kind: issuer.InvalidToken, reason: "malformed"}
	}
	return clientauth.Presented{Bearer: token}, nil
}
