package admin

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

var exampleRevocation = api.Revocation{
	ID: "5f1e2d3c4b5a69788796a5b4c3d2e1f0", Kind: "token", RevokedAt: exampleTime, Until: exampleTime.Add(15 * time.Minute),
}

func (a *handlers) revocations() {
	register(a, operation{
		method: http.MethodGet, path: "/revocations", id: "listRevocations", action: action{name: "revocation.list", audited: true}, tag: "revocations",
		summary: "List revocations", description: "Lists the revoked tokens, the deleted services, and the trusts that were removed or accept less than before, as long as a valid token could depend on them. Revoked credentials, revoked keys and disabled services are in their own lists. The request is recorded in the audit log.",
		answer: api.RevocationList{Revocations: []api.Revocation{exampleRevocation}},
	}, a.listRevocations)
	register(a, operation{
		method: http.MethodPost, path: "/revocations", id: "createRevocation", action: action{name: "token.revoke", creates: true}, tag: "revocations",
		summary: "Revoke a token", description: "Revokes an access token, and the tokens for which it was exchanged. Introspection refuses them at once. Services that follow the deny-list refuse them within a second, and services that only verify signatures accept them until they expire. Revoking a token again changes nothing. To revoke all tokens that were issued for a credential, revoke the credential.",
		request: api.NewRevocation{JTI: "5f1e2d3c4b5a69788796a5b4c3d2e1f0"}, answer: exampleRevocation,
	}, a.createRevocation)
	register(a, operation{
		method: http.MethodGet, path: "/revocations/{id}", id: "readRevocation", action: action{name: "revocation.read", audited: true}, tag: "revocations",
		summary: "Read a revocation", description: "Returns a revocation. The request is recorded in the audit log.",
		missing: errNoRevocation, answer: exampleRevocation,
	}, a.readRevocation)
}

func (a *handlers) listRevocations(ctx context.Context, in *struct{ Page }) (*answered[api.RevocationList], error) {
	views, next, err := listing[directory.Revocation, api.Revocation]{
		name: "revocations",
		read: func(after []byte, limit int) ([]directory.Revocation, error) {
			return a.Lists.ListRevocations(ctx, string(after), limit)
		},
		position: func(r directory.Revocation) []byte { return []byte(r.ID) },
		view: func(_ *directory.Snapshot, r directory.Revocation) (api.Revocation, bool) {
			return viewRevocation(r), true
		},
	}.page(ctx, a, in.Page)
	return &answered[api.RevocationList]{api.RevocationList{Revocations: views, NextPageToken: next}}, err
}

func (a *handlers) readRevocation(ctx context.Context, in *struct {
	ID string `path:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of a token, the uid of a service, or an id on which the tokens of a trust depended."`
},
) (*answered[api.Revocation], error) {
	if _, err := directory.ParseUID(in.ID); err != nil && !isCredentialID(strings.TrimPrefix(in.ID, "trust_")) {
		return nil, errNoRevocation // not worth asking the store
	}
	r, err := a.Lists.ReadRevocation(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &answered[api.Revocation]{viewRevocation(r)}, nil
}

func (a *handlers) createRevocation(ctx context.Context, in *struct{ Body api.NewRevocation }) (*answered[api.Revocation], error) {
	jti, expiry, status, err := a.identify(in.Body)
	if err != nil {
		return nil, err
	}
	note(ctx, "token", jti)
	// Tokens depend on the ids of credentials too, but there is a route of its own to revoke one.
	if _, ok := a.Directory.Snapshot().Credential(jti); ok {
		return nil, invalidToken("jti", "is the id of a credential: revoke it with POST /admin/v1/credentials/{id}/revoke")
	}
	if err := a.Directory.RevokeToken(ctx, author(ctx), jti, expiry, status); err != nil {
		return nil, err
	}
	r, err := a.Lists.ReadRevocation(ctx, jti)
	if err != nil {
		return nil, err
	}
	return &answered[api.Revocation]{viewRevocation(r)}, nil
}

// identify returns which token is meant, when it ends at the latest and, if it was shown, its place in
// a status list.
func (a *handlers) identify(n api.NewRevocation) (jti string, expiry time.Time, status string, err error) {
	if (n.JTI == "") == (n.Token == "") {
		return "", expiry, "", invalidToken("jti", "or token is required, and not both")
	}
	if n.Token != "" {
		jti, expiry, status, why := a.Issuer.Identify(n.Token)
		switch {
		case n.ExpiresAt != nil:
			return "", expiry, "", invalidToken("expiresAt", "is for jti only: the token itself contains its expiry")
		case why == "expired":
			return "", expiry, "", invalidToken("token", "has expired: there is nothing left to revoke")
		case why != "":
			return "", expiry, "", invalidToken("token", "is not an access token of this server, or the key that signed it was revoked")
		}
		return jti, expiry, status, nil
	}
	if !isCredentialID(n.JTI) {
		return "", expiry, "", invalidToken("jti", "must be 32 hexadecimal digits in lower case, which is the form of every jti")
	}
	if n.ExpiresAt != nil {
		if expiry = *n.ExpiresAt; !expiry.After(a.Now()) {
			return "", expiry, "", invalidToken("expiresAt", "must be in the future: a token that has expired cannot be revoked")
		}
	}
	return n.JTI, expiry, "", nil
}

func invalidToken(field, problem string) error {
	return &directory.InvalidError{Field: field, Problem: problem}
}

func viewRevocation(r directory.Revocation) api.Revocation {
	v := api.Revocation{ID: r.ID, Kind: "token", RevokedAt: r.RevokedAt.UTC(), Until: r.Until.UTC()}
	for _, kind := range []struct{ prefix, name string }{{"svc_", "service"}, {"trust_", "trust"}} {
		if strings.HasPrefix(r.ID, kind.prefix) {
			v.Kind = kind.name
		}
	}
	return v
}
