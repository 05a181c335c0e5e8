package api

import "time"

// TrustSettings are what an operator says of a trust: an outside issuer, such as a Kubernetes cluster, whose tokens prove
// services in place of a secret.
type TrustSettings struct {
	Preset             string   `json:"preset" example:"kubernetes" doc:"The kind of platform. It says which claims a credential must name, and the defaults of the other settings."`
	Issuer             string   `json:"issuer" maxLength:"512" example:"https://kubernetes.default.svc.cluster.local" doc:"The iss of the tokens, compared as a string: an https URL, or for the preset spiffe the trust domain, as in spiffe://example.org."`
	Audience           string   `json:"audience" maxLength:"512" example:"https://auth.example.com" doc:"The one aud that tokens must have. The default is the issuer of this server."`
	JWKSURI            string   `json:"jwksUri" maxLength:"1024" example:"https://issuer.example.com/jwks.json" doc:"The URL of the keys or, for the preset spiffe, of the bundle. The default is what the discovery document of the issuer says."`
	JWKS               string   `json:"jwks" maxLength:"65536" doc:"The public keys: a JWK Set (RFC 7517) or, for the preset spiffe, a bundle. The server then fetches nothing."`
	Authorities        string   `json:"authorities" maxLength:"65536" doc:"For the preset spiffe: the certificates of the authorities of X.509-SVIDs, in PEM."`
	EndpointID         string   `json:"endpointId" maxLength:"2048" example:"spiffe://example.org/spire/server" doc:"For the preset spiffe: the SPIFFE ID of the bundle endpoint, which then authenticates with an X.509-SVID (profile https_spiffe)."`
	Algorithms         []string `json:"algorithms" nullable:"false" maxItems:"16" example:"[\"RS256\"]" doc:"The algorithms that tokens may be signed with. The default is those of the preset."`
	MaxLifetimeSeconds int64    `json:"maxLifetimeSeconds" minimum:"0" maximum:"2678400" example:"3600" doc:"The longest lifetime of a token, from iat to exp. The default is that of the preset."`
	Once               string   `json:"once" enum:",always,never" example:"always" doc:"Whether a token is accepted only once. The default is that of the preset."`
	Disabled           bool     `json:"disabled" example:"false" doc:"Whether the trust is disabled: no token of it proves anything."`
}

// TrustPatch changes the settings that are not nil. The others remain. A list is replaced as a whole.
type TrustPatch struct {
	Issuer             *string   `json:"issuer,omitempty" maxLength:"512" example:"https://kubernetes.default.svc.cluster.local" doc:"See the trust."`
	Audience           *string   `json:"audience,omitempty" maxLength:"512" example:"https://auth.example.com" doc:"See the trust."`
	JWKSURI            *string   `json:"jwksUri,omitempty" maxLength:"1024" example:"https://issuer.example.com/jwks.json" doc:"See the trust."`
	JWKS               *string   `json:"jwks,omitempty" maxLength:"65536" doc:"See the trust."`
	Authorities        *string   `json:"authorities,omitempty" maxLength:"65536" doc:"See the trust."`
	EndpointID         *string   `json:"endpointId,omitempty" maxLength:"2048" example:"spiffe://example.org/spire/server" doc:"See the trust."`
	Algorithms         *[]string `json:"algorithms,omitempty" maxItems:"16" example:"[\"RS256\"]" doc:"See the trust."`
	MaxLifetimeSeconds *int64    `json:"maxLifetimeSeconds,omitempty" minimum:"0" maximum:"2678400" example:"3600" doc:"See the trust."`
	Once               *string   `json:"once,omitempty" enum:",always,never" example:"always" doc:"See the trust."`
	Disabled           *bool     `json:"disabled,omitempty" example:"true" doc:"See the trust."`
}

// Apply makes the changes of p.
func (p TrustPatch) Apply(to *TrustSettings) {
	set(&to.Issuer, p.Issuer)
	set(&to.Audience, p.Audience)
	set(&to.JWKSURI, p.JWKSURI)
	set(&to.JWKS, p.JWKS)
	set(&to.Authorities, p.Authorities)
	set(&to.EndpointID, p.EndpointID)
	set(&to.Algorithms, p.Algorithms)
	set(&to.MaxLifetimeSeconds, p.MaxLifetimeSeconds)
	set(&to.Once, p.Once)
	set(&to.Disabled, p.Disabled)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Trust is a trust, as the API shows it.
type Trust struct {
	ID   string `json:"id" example:"trust_00112233445566778899aabbccddeeff" doc:"The identity of the trust, which never changes. A trust that is removed and added again under the same name has another id."`
	Name string `json:"name" example:"prod" doc:"The unique name."`
	TrustSettings
	Credentials int        `json:"credentials" example:"12" doc:"The number of valid credentials that name the trust."`
	Services    int        `json:"services" example:"10" doc:"The number of services that have these credentials."`
	Problems    []string   `json:"problems" nullable:"false" example:"[\"Tokens are refused: claims_differ, last at 2026-11-28T12:00:00Z.\"]" doc:"What needs the attention of an operator, such as tokens that are refused, and credentials that no token has matched for 30 days."`
	Notes       []string   `json:"notes,omitempty" nullable:"false" example:"[\"A token named a key that the trust does not have, which anybody can send.\"]" doc:"What anybody can cause, and therefore is no problem. Lists leave it out."`
	ManagedBy   string     `json:"managedBy" example:"callmap" doc:"The owner, which is managed-by of its call map file. Empty if the trust belongs to no file."`
	Version     int64      `json:"version" example:"1" doc:"The number of changes. In quotes, it is the ETag."`
	CreatedAt   time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When the trust was added."`
	UpdatedAt   time.Time  `json:"updatedAt" example:"2026-11-24T12:00:00Z" doc:"When the trust was last changed."`
	KeysAt      *time.Time `json:"keysAt,omitempty" example:"2026-11-24T12:00:00Z" doc:"When the keys were uploaded. Absent if the server fetches them."`
}

// NewTrust is the body of a request that adds a trust. Settings that it does not name have their defaults.
type NewTrust struct {
	Name   string `json:"name" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" patternDescription:"letters, digits, '.', '_' and '-', beginning with a letter or a digit" example:"prod" doc:"1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or a digit."`
	Preset string `json:"preset,omitempty" default:"oidc" example:"kubernetes" doc:"The kind of platform. It cannot be changed later."`
	TrustPatch
}

// TrustList is a page of trusts.
type TrustList struct {
	Trusts        []Trust `json:"trusts" nullable:"false" doc:"The trusts, ordered by name. Those with problems come first."`
	NextPageToken string  `json:"nextPageToken,omitempty" doc:"The pageToken of the next page. Absent on the last page."`
}

// ClaimFinding is what came of comparing one claim of a platform's token with what is wanted.
type ClaimFinding struct {
	Claim  string `json:"claim" example:"repository_id" doc:"The claim, as credentials name it."`
	Met    bool   `json:"met" example:"false" doc:"Whether the claim is as it is wanted."`
	Seen   string `json:"seen,omitempty" example:"456" doc:"What the token has, up to 256 bytes. Absent if it has no such claim."`
	Wanted string `json:"wanted,omitempty" example:"123" doc:"What is wanted."`
	Hint   string `json:"hint,omitempty" example:"The name of the repository is the same: was it deleted and created again?" doc:"What probably happened, and what to do."`
}

// TrustKeys are the keys of a trust that the server has.
type TrustKeys struct {
	Uploaded    bool             `json:"uploaded" example:"true" doc:"Whether an operator uploaded the keys. The server fetches them otherwise."`
	Keys        []TrustKey       `json:"keys" nullable:"false" doc:"The keys that verify tokens."`
	Authorities []TrustAuthority `json:"authorities" nullable:"false" doc:"For the preset spiffe: the authorities of X.509-SVIDs."`
	FetchedAt   *time.Time       `json:"fetchedAt,omitempty" example:"2026-11-24T12:00:00Z" doc:"When the keys were fetched. Absent if they were not, or are uploaded."`
	TriedAt     *time.Time       `json:"triedAt,omitempty" example:"2026-11-24T12:00:00Z" doc:"When this server last tried to fetch them."`
	Error       string           `json:"error,omitempty" example:"GET https://issuer.example.com/jwks.json: 404 Not Found" doc:"Why the last attempt failed, or why the uploaded keys cannot be used. Absent if nothing is wrong."`
}

// TrustKey is a public key of a trust.
type TrustKey struct {
	ID         string   `json:"id" example:"k1" doc:"The kid. It may be empty."`
	Algorithms []string `json:"algorithms" nullable:"false" example:"[\"RS256\"]" doc:"The algorithms of signatures that it verifies."`
	Thumbprint string   `json:"thumbprint" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"Its SHA-256 thumbprint (RFC 7638)."`
}

// TrustAuthority is the certificate of an authority of X.509-SVIDs.
type TrustAuthority struct {
	Subject    string    `json:"subject" example:"O=SPIRE,C=US" doc:"The subject of the certificate."`
	Thumbprint string    `json:"thumbprint" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"Its SHA-256 thumbprint, as in x5t#S256 (RFC 8705)."`
	ExpiresAt  time.Time `json:"expiresAt" example:"2027-11-24T12:00:00Z" doc:"When it expires."`
}

// PlatformTokenTest is the body of a request that asks what would come of a platform's token.
type PlatformTokenTest struct {
	Token   string `json:"token" minLength:"1" maxLength:"16384" example:"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL2V4YW1wbGUub3JnIn0.c2ln" doc:"The token."`
	Service string `json:"service,omitempty" maxLength:"2048" example:"m1" doc:"The client_id of the request: the name of a service or, for the preset spiffe, the SPIFFE ID. Without it, the claims choose the service."`
}

// PlatformTokenVerdict is what would come of a platform's token.
type PlatformTokenVerdict struct {
	Accepted   bool           `json:"accepted" example:"false" doc:"Whether the token proves the service. A token that is accepted only once may have been used already, which the test does not look up."`
	Reason     string         `json:"reason,omitempty" example:"claims_differ" doc:"Why it does not."`
	Text       string         `json:"text,omitempty" example:"the claims of the token are not those that the credential names" doc:"The same in words."`
	Advice     string         `json:"advice,omitempty" example:"See the findings." doc:"What to do."`
	See        string         `json:"see,omitempty" example:"docs/errors.md#claims_differ" doc:"Where the reason is explained."`
	Trust      string         `json:"trust,omitempty" example:"prod" doc:"The name of the trust whose issuer the token has. Absent if there is none."`
	Service    string         `json:"service,omitempty" example:"m1" doc:"The service that the token proves, or whose credential it is most like."`
	Credential string         `json:"credential,omitempty" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The id of that credential."`
	Findings   []ClaimFinding `json:"findings" nullable:"false" doc:"What was compared, claim by claim."`
}
