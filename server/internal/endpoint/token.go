package endpoint

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/dpop"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// token is POST /oauth2/token (RFC 6749, section 3.2).
func (e *endpoints) token(q *request) error {
	p, g, bad := e.propose(q)
	if bad != nil {
		return bad
	}
	t, id, err := e.issuer.AccessToken(q.r.Context(), p)
	q.decision(id)
	if err != nil {
		return err
	}
	if t.Type == issuer.DPoP && e.o.NonceNeeded {
		q.w.Header().Set(dpop.NonceHeader, e.o.Nonce()) // RFC 9449, section 8.2
	}
	web.WriteJSON(q.w, http.StatusOK, encode(t, g.Issued))
	return nil
}

func (e *endpoints) propose(q *request) (p *issuer.Proposal, g Grant, bad *problem) {
	if g, bad = grantOf(q.form.get("grant_type")); bad != nil {
		return nil, g, bad
	}
	p = &issuer.Proposal{Request: q.from, Grant: g.Type, Proof: e.proof(q, TokenPath)}
	if p.Presented, bad = e.presented(q); bad != nil {
		return nil, g, bad
	}
	if g.read == nil {
		return p, g, nil
	}
	if bad = g.read(q.form, p); bad != nil {
		return nil, g, bad
	}
	if p.Targets, bad = targets(q.form); bad != nil {
		return nil, g, bad
	}
	scopes, err := directory.ParseScopes(q.form.get("scope"))
	if err != nil {
		return nil, g, &problem{kind: issuer.InvalidScope, reason: "malformed_scope", text: err.Error()}
	}
	p.Scopes = scopes
	return p, g, nil
}

// targets are what the token is asked for: resource, which is an absolute URI (RFC 8707, section
// 2), and audience, which may be a name too (RFC 8693, section 2.1).
func targets(f form) ([]string, *problem) {
	all := f.all("resource")
	for _, r := range all {
		u, err := url.Parse(r)
		if err != nil || !u.IsAbs() || strings.IndexByte(r, '#') >= 0 {
			return nil, &problem{kind: issuer.Denied, reason: "malformed_resource", text: "resource must be an absolute URI without fragment; audience also takes a service's name"}
		}
	}
	return append(all, f.all("audience")...), nil
}

// encode writes a token answer (RFC 6749, section 5.1; RFC 8693, section 2.2.1). Tokens and
// scopes have nothing that JSON escapes. There is never a refresh token.
func encode(t issuer.Token, issued string) []byte {
	b := make([]byte, 0, len(t.Value)+192)
	b = append(b, `{"access_token":"`...)
	b = append(b, t.Value...)
	b = append(b, `","token_type":"`...)
	b = append(b, t.Type...)
	b = append(b, `","expires_in":`...)
	b = strconv.AppendInt(b, int64(t.ExpiresIn/time.Second), 10)
	for n, scope := range t.Scopes {
		b = append(b, [...]string{`,"scope":"`, " "}[min(n, 1)]...)
		b = append(b, scope...)
	}
	if len(t.Scopes) > 0 {
		b = append(b, '"')
	}
	if issued != "" {
		b = append(b, `,"issued_token_type":"`...)
		b = append(b, issued...)
		b = append(b, '"')
	}
	return append(b, "}\n"...)
}
