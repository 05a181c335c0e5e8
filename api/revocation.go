package api

import "time"

// Revocation is an id on which no valid token depends, as the API shows it.
type Revocation struct {
	ID        string    `json:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of a token, or the uid of a service."`
	Kind      string    `json:"kind" enum:"token,service" example:"token" doc:"service: one that was deleted."`
	RevokedAt time.Time `json:"revokedAt" example:"2026-11-24T12:00:00Z" doc:"Since when."`
	Until     time.Time `json:"until" example:"2026-11-24T12:15:00Z" doc:"When all tokens that depend on it have expired, and it is forgotten."`
}

// NewRevocation is the body that revokes a token.
type NewRevocation struct {
	JTI       string     `json:"jti,omitempty" maxLength:"128" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of the token. By it alone status lists cannot tell the token; the deny-list can. Either this or token."`
	Token     string     `json:"token,omitempty" maxLength:"16384" doc:"The token itself. It must be one of this server that has not expired; it is verified and read, and written nowhere."`
	ExpiresAt *time.Time `json:"expiresAt,omitempty" example:"2026-11-24T12:15:00Z" doc:"With jti: the end of the token, so that its revocation can be forgotten then. Absent: as late as any token can end."`
}

// RevocationList is a page of revocations.
type RevocationList struct {
	Revocations   []Revocation `json:"revocations" nullable:"false" doc:"By id."`
	NextPageToken string       `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}
