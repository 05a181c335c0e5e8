package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/keys"
)

// Key is a signing key as the API shows it. Private halves never leave the server.
type Key struct {
	ID        string     `json:"id" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"The kid: its RFC 7638 thumbprint."`
	Use       string     `json:"use" enum:"access,credential,audit" example:"access" doc:"What it signs. Only access keys are published."`
	Algorithm string     `json:"algorithm" example:"ES256" doc:"With which algorithm."`
	State     string     `json:"state" enum:"next,active,retiring,revoked" example:"active" doc:"next: published, does not sign yet. active: signs. retiring: no longer signs, still published. revoked: verifies nothing."`
	CreatedAt time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made and published."`
	SignsFrom time.Time  `json:"signsFrom" example:"2026-11-24T13:00:00Z" doc:"The earliest moment it may sign."`
	RetiredAt *time.Time `json:"retiredAt,omitempty" example:"2026-12-24T13:00:00Z" doc:"When it stopped signing."`
	DropAt    *time.Time `json:"dropAt,omitempty" example:"2026-12-25T13:10:00Z" doc:"When it leaves the key set."`
	RevokedAt *time.Time `json:"revokedAt,omitempty" example:"2026-12-01T08:30:00Z" doc:"When it was revoked."`
	Public    PublicJWK  `json:"public" doc:"The public key as a JWK (RFC 7517)."`
}

// PublicJWK is a public key as stored.
type PublicJWK = map[string]any

// KeyList is all keys.
type KeyList struct {
	Keys []Key `json:"keys" nullable:"false" doc:"All keys the server has."`
}

// Rotation is the body that asks for a rotation.
type Rotation struct {
	Use       string `json:"use,omitempty" enum:"access,credential,audit" example:"access" doc:"Which ring: access unless said otherwise."`
	Algorithm string `json:"algorithm,omitempty" enum:"ES256,RS256,PS256,EdDSA" example:"ES256" doc:"Which algorithm's key: the default one's unless said otherwise."`
	Now       bool   `json:"now,omitempty" example:"false" doc:"Sign with the new key at once, also when it was not published long enough: verifiers that cache the key set may refuse tokens until they fetch it again."`
}

// Resealed says what resealing did.
type Resealed struct {
	Resealed int `json:"resealed" example:"5" doc:"How many private keys were sealed again."`
}

type byKey struct {
	ID string `path:"id" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"The kid."`
}

var exampleKey = Key{
	ID: "tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk", Use: "access", Algorithm: "ES256", State: "active",
	CreatedAt: exampleTime, SignsFrom: exampleTime.Add(time.Hour),
	Public: PublicJWK{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk", "x": "...", "y": "..."},
}

func (a *handlers) keys() {
	register(a, operation{
		method: http.MethodGet, path: "/keys", id: "listKeys", action: action{name: "key.list"}, tag: "keys",
		summary: "List signing keys", description: "All keys with their states. There are a handful, so there are no pages.",
		answer: KeyList{Keys: []Key{exampleKey}},
	}, a.listKeys)
	register(a, operation{
		method: http.MethodPost, path: "/keys/rotate", id: "rotateKeys", action: action{name: "key.rotate"}, tag: "keys",
		summary: "Rotate a signing key", description: "Puts the next key in the place of the active one as soon as it was published long enough. Answers the key that signs then: its state is active, or next with the time it begins.",
		missing: errNoKey, errors: []int{http.StatusConflict}, request: Rotation{Use: "access"}, answer: exampleKey,
	}, a.rotateKeys)
	register(a, operation{
		method: http.MethodPost, path: "/keys/{id}/revoke", id: "revokeKey", action: action{name: "key.revoke"}, tag: "keys",
		summary: "Revoke a signing key", description: "For a stolen key: it is no longer published, verifies nothing here, and its private half is destroyed. Tokens it signed fail as soon as verifiers fetch the key set. Revoking it again changes nothing.",
		missing: errNoKey, errors: []int{http.StatusConflict}, answer: exampleKey,
	}, a.revokeKey)
	register(a, operation{
		method: http.MethodPost, path: "/keys/reseal", id: "resealKeys", action: action{name: "key.reseal"}, tag: "keys",
		summary: "Seal private keys again", description: "Reads the sealing key file anew and seals every private key with its first line, after which the other lines are not needed. Every replica's file must have that line before.",
		errors: []int{http.StatusConflict}, answer: Resealed{5},
	}, a.resealKeys)
}

func (a *handlers) listKeys(context.Context, *struct{}) (*answered[KeyList], error) {
	records := a.Keys.List()
	out := &answered[KeyList]{KeyList{make([]Key, 0, len(records))}}
	for _, k := range records {
		out.Body.Keys = append(out.Body.Keys, viewKey(k))
	}
	return out, nil
}

func (a *handlers) rotateKeys(ctx context.Context, in *struct{ Body *Rotation }) (*answered[Key], error) {
	r := Rotation{}
	if in.Body != nil {
		r = *in.Body
	}
	k, err := a.Keys.Rotate(ctx, author(ctx), keys.Use(r.Use), jose.Algorithm(r.Algorithm), r.Now)
	if err != nil {
		return nil, err
	}
	note(ctx, "use", string(k.Use), "algorithm", k.Algorithm, "key", k.ID)
	return &answered[Key]{viewKey(k)}, nil
}

func (a *handlers) revokeKey(ctx context.Context, in *byKey) (*answered[Key], error) {
	k, err := a.Keys.Revoke(ctx, author(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return &answered[Key]{viewKey(k)}, nil
}

func (a *handlers) resealKeys(ctx context.Context, _ *struct{}) (*answered[Resealed], error) {
	n, err := a.Keys.Reseal(ctx, author(ctx))
	if err != nil {
		return nil, err
	}
	return &answered[Resealed]{Resealed{n}}, nil
}

func viewKey(k keys.Record) Key {
	v := Key{
		ID: k.ID, Use: string(k.Use), Algorithm: k.Algorithm, State: string(k.State),
		CreatedAt: k.CreatedAt.UTC(), SignsFrom: k.SignsFrom.UTC(),
		RetiredAt: optional(k.RetiredAt), DropAt: optional(k.DropAt), RevokedAt: optional(k.RevokedAt),
		Public: PublicJWK{},
	}
	// The ring wrote it. A key that cannot be read is shown without, not hidden.
	_ = json.Unmarshal(k.Public, &v.Public)
	return v
}
