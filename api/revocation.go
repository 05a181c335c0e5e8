package api

import "time"

// Revocation is the id of a revoked token or of a deleted service, or an id of a trust that accepted more once. No token that depends on it is valid.
type Revocation struct {
	ID        string    `json:"id" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of a token, the uid of a service, or an id on which the tokens of a trust depended."`
	Kind      string    `json:"kind" enum:"token,service,trust" example:"token" doc:"token: a revoked token. service: a deleted service. trust: a trust that was removed, or changed so that it accepts less."`
	RevokedAt time.Time `json:"revokedAt" example:"2026-11-24T12:00:00Z" doc:"The time of the revocation."`
	Until     time.Time `json:"until" example:"2026-11-24T12:15:00Z" doc:"The time at which all tokens that depend on the id have expired. The server then deletes the revocation."`
}

// NewRevocation is the body of a request that revokes a token.
type NewRevocation struct {
	JTI       string     `json:"jti,omitempty" maxLength:"128" example:"5f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The jti of the token. Give either jti or token. A token that is revoked by its jti is on the deny-list, but not on a status list."`
	Token     string     `json:"token,omitempty" maxLength:"16384" doc:"The token itself. It must have been issued by this server and not have expired. The server does not store it."`
	ExpiresAt *time.Time `json:"expiresAt,omitempty" example:"2026-11-24T12:15:00Z" doc:"With jti: when the token expires, so that the server can then delete the revocation. The default is the latest time at which any token can expire."`
}

// RevocationList is a page of revocations.
type RevocationList struct {
	Revocations   []Revocation `json:"revocations" nullable:"false" doc:"The revocations, ordered by id."`
	NextPageToken string       `json:"nextPageToken,omitempty" doc:"The pageToken of the next page. Absent on the last page."`
}
