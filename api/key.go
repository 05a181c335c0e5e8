package api

import "time"

// Key is the public half of a signing key.
type Key struct {
	ID        string     `json:"id" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"The kid, which is the thumbprint of the key (RFC 7638)."`
	Use       string     `json:"use" names:"uses" example:"access" doc:"What the key signs."`
	Algorithm string     `json:"algorithm" example:"ES256" doc:"The algorithm of its signatures."`
	State     string     `json:"state" enum:"next,active,retiring,revoked" example:"active" doc:"next: published, but does not sign yet. active: signs. retiring: does not sign any more, but is still published. revoked: not valid."`
	CreatedAt time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When the key was created and published."`
	SignsFrom time.Time  `json:"signsFrom" example:"2026-11-24T13:00:00Z" doc:"The time from which the key may sign."`
	RetiredAt *time.Time `json:"retiredAt,omitempty" example:"2026-12-24T13:00:00Z" doc:"When the key stopped signing."`
	DropAt    *time.Time `json:"dropAt,omitempty" example:"2026-12-25T13:10:00Z" doc:"When the key is removed from the published keys."`
	RevokedAt *time.Time `json:"revokedAt,omitempty" example:"2026-12-01T08:30:00Z" doc:"When the key was revoked."`
	Public    JWK        `json:"public" doc:"The public key as a JWK (RFC 7517)."`
}

// KeyList is all keys.
type KeyList struct {
	Keys []Key `json:"keys" nullable:"false" doc:"All keys of the server."`
}

// KeyRotation is the body of a request that replaces a signing key.
type KeyRotation struct {
	Use       string `json:"use,omitempty" names:"uses" example:"access" doc:"What the key signs. The default is access."`
	Algorithm string `json:"algorithm,omitempty" names:"algorithms" example:"ES256" doc:"The algorithm of the key. The default is the setting signing.algorithm."`
	Now       bool   `json:"now,omitempty" example:"false" doc:"Whether the new key signs at once, although it may not have been published long enough. Services that cache the published keys may then refuse tokens until they fetch the keys again."`
}

// Resealed is the result of resealing.
type Resealed struct {
	Resealed int `json:"resealed" example:"5" doc:"The number of private keys that were encrypted again."`
}
