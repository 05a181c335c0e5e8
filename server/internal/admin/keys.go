package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

type byKey struct {
	ID string `path:"id" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"The kid."`
}

var exampleKey = api.Key{
	ID: "tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk", Use: "access", Algorithm: "ES256", State: "active",
	CreatedAt: exampleTime, SignsFrom: exampleTime.Add(time.Hour),
	Public: api.JWK{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk", "x": "...", "y": "..."},
}

func (a *handlers) keys() {
	register(a, operation{
		method: http.MethodGet, path: "/keys", id: "listKeys", action: action{name: "key.list"}, tag: "keys",
		summary: "List signing keys", description: "Lists all keys with their states. There are few, so the list has no pages.",
		answer: api.KeyList{Keys: []api.Key{exampleKey}},
	}, a.listKeys)
	register(a, operation{
		method: http.MethodPost, path: "/keys/rotate", id: "rotateKeys", action: action{name: "key.rotate", creates: true}, tag: "keys",
		summary: "Replace a signing key", description: "Replaces the active key by the next one as soon as that was published long enough. Returns the next key. Its state is active, or next with the time from which it signs.",
		missing: errNoKey, errors: []int{http.StatusConflict}, request: api.KeyRotation{Use: "access"}, answer: exampleKey,
	}, a.rotateKeys)
	register(a, operation{
		method: http.MethodPost, path: "/keys/{id}/revoke", id: "revokeKey", action: action{name: "key.revoke"}, tag: "keys",
		summary: "Revoke a signing key", description: "For a stolen key: the server no longer publishes it, accepts nothing that it signed, and deletes its private half. Services refuse its tokens once they have fetched the published keys again. Revoking a key again changes nothing.",
		missing: errNoKey, errors: []int{http.StatusConflict}, answer: exampleKey,
	}, a.revokeKey)
	register(a, operation{
		method: http.MethodPost, path: "/keys/reseal", id: "resealKeys", action: action{name: "key.reseal"}, tag: "keys",
		summary: "Encrypt the private keys again", description: "Reads the file of the sealing key again, and encrypts all private keys with its first line. Then the other lines are no longer needed. The files of all replicas must contain that line before.",
		errors: []int{http.StatusConflict}, answer: api.Resealed{Resealed: 5},
	}, a.resealKeys)
}

func (a *handlers) listKeys(context.Context, *struct{}) (*answered[api.KeyList], error) {
	records := a.Keys.List()
	out := &answered[api.KeyList]{api.KeyList{Keys: make([]api.Key, 0, len(records))}}
	for _, k := range records {
		out.Body.Keys = append(out.Body.Keys, viewKey(k))
	}
	return out, nil
}

func (a *handlers) rotateKeys(ctx context.Context, in *struct{ Body *api.KeyRotation }) (*answered[api.Key], error) {
	r := api.KeyRotation{}
	if in.Body != nil {
		r = *in.Body
	}
	k, err := a.Keys.Rotate(ctx, author(ctx), keys.Use(r.Use), jose.Algorithm(r.Algorithm), r.Now)
	if err != nil {
		return nil, err
	}
	note(ctx, "use", string(k.Use), "algorithm", k.Algorithm, "key", k.ID)
	return &answered[api.Key]{viewKey(k)}, nil
}

func (a *handlers) revokeKey(ctx context.Context, in *byKey) (*answered[api.Key], error) {
	k, err := a.Keys.Revoke(ctx, author(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &answered[api.Key]{viewKey(k)}, nil
}

func (a *handlers) resealKeys(ctx context.Context, _ *struct{}) (*answered[api.Resealed], error) {
	n, err := a.Keys.Reseal(ctx, author(ctx))
	if err != nil {
		return nil, err
	}
	return &answered[api.Resealed]{api.Resealed{Resealed: n}}, nil
}

func viewKey(k keys.Record) api.Key {
	v := api.Key{
		ID: k.ID, Use: string(k.Use), Algorithm: k.Algorithm, State: string(k.State),
		CreatedAt: k.CreatedAt.UTC(), SignsFrom: k.SignsFrom.UTC(),
		RetiredAt: optional(k.RetiredAt), DropAt: optional(k.DropAt), RevokedAt: optional(k.RevokedAt),
		Public: api.JWK{},
	}
	// The ring wrote it. A key that cannot be read is shown without, not hidden.
	_ = json.Unmarshal(k.Public, &v.Public)
	return v
}
