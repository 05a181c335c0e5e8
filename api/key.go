package api

import "time"

// Key is a signing key as the API shows it. Private halves never leave the server.
type Key struct {
	ID        string     `json:"id" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"The kid: its RFC 7638 thumbprint."`
	Use       string     `json:"use" names:"uses" example:"access" doc:"What the key signs."`
	Algorithm string     `json:"algorithm" example:"ES256" doc:"With which algorithm."`
	State     string     `json:"state" enum:"next,active,retiring,revoked" example:"active" doc:"next: published, does not sign yet. active: signs. retiring: no longer signs, still published. revoked: verifies nothing."`
	CreatedAt time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made and published."`
	SignsFrom time.Time  `json:"signsFrom" example:"2026-11-24T13:00:00Z" doc:"The earliest moment it may sign."`
	RetiredAt *time.Time `json:"retiredAt,omitempty" example:"2026-12-24T13:00:00Z" doc:"When it stopped signing."`
	DropAt    *time.Time `json:"dropAt,omitempty" example:"2026-12-25T13:10:00Z" doc:"When it leaves the key set."`
	RevokedAt *time.Time `json:"revokedAt,omitempty" example:"2026-12-01T08:30:00Z" doc:"When it was revoked."`
	Public    JWK        `json:"public" doc:"The public key as a JWK (RFC 7517)."`
}

// KeyList is all keys.
type KeyList struct {
	Keys []Key `json:"keys" nullable:"false" doc:"All keys the server has."`
}

// KeyRotation is the body that asks for a rotation.
type KeyRotation struct {
	Use       string `json:"use,omitempty" names:"uses" example:"access" doc:"What the key signs. The default is access."`
	Algorithm string `json:"algorithm,omitempty" names:"algorithms" example:"ES256" doc:"Which algorithm's key: the default one's unless said otherwise."`
	Now       bool   `json:"now,omitempty" example:"false" doc:"Sign with the new key at once, also when it was not published long enough: verifiers that cache the key set may refuse tokens until they fetch it again."`
}

// Resealed is what resealing did.
type Resealed struct {
	Resealed int `json:"resealed" example:"5" doc:"How many private keys were sealed again."`
}
