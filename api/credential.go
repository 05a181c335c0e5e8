package api

import "time"

// Credential is a credential of a service, as the API shows it.
type Credential struct {
	ID           string     `json:"id" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The id, which is not secret. The id of a bootstrap credential is the jti of the token."`
	Service      string     `json:"service" example:"m1" doc:"The name of the service."`
	Kind         string     `json:"kind" names:"kinds" example:"bootstrap" doc:"The kind of the credential."`
	Name         string     `json:"name" example:"production" doc:"A name for people. It may be empty."`
	CreatedAt    time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When the credential was created."`
	NotBefore    *time.Time `json:"notBefore,omitempty" example:"2026-12-01T00:00:00Z" doc:"The time from which the credential is valid. Absent if it is valid from its creation on."`
	ExpiresAt    time.Time  `json:"expiresAt" example:"2027-02-22T12:00:00Z" doc:"The time at which the credential expires. It is no longer valid at that time."`
	RevokedAt    *time.Time `json:"revokedAt,omitempty" example:"2026-12-01T08:30:00Z" doc:"When the credential was revoked. Absent if it was not."`
	Replaces     string     `json:"replaces,omitempty" example:"1f0e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The id of the credential that this one replaces. That credential expires overlapSeconds after the first use of this one."`
	Overlap      int64      `json:"overlapSeconds,omitempty" example:"3600" doc:"The time for which the replaced credential remains valid after the first use of this one."`
	CIDR         string     `json:"cidr,omitempty" example:"10.0.0.0/8" doc:"The only network from which the credential may be used."`
	LastUsedAt   *time.Time `json:"lastUsedAt,omitempty" example:"2026-11-30T23:59:59Z" doc:"When the credential was last used. The server updates the time every few seconds. Absent if the credential was never used."`
	LastUsedFrom string     `json:"lastUsedFrom,omitempty" example:"10.1.2.3" doc:"The address from which it was last used."`
	Status       string     `json:"status" enum:"active,not_yet_valid,expired,revoked" example:"active" doc:"Whether the credential is valid now."`

	KeyID      string `json:"keyId,omitempty" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"For a key: its kid."`
	Algorithm  string `json:"algorithm,omitempty" example:"ES256" doc:"For a key: the algorithm of its signatures."`
	Thumbprint string `json:"thumbprint,omitempty" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"For a key: its SHA-256 thumbprint (RFC 7638). For a certificate: its x5t#S256 (RFC 8705)."`
	JWKSURI    string `json:"jwksUri,omitempty" example:"https://m1.example.com/jwks.json" doc:"For jwks: the URL of the keys."`
	TLSSubject string `json:"tlsSubject,omitempty" example:"dns:m1.example.com" doc:"For tls_subject: dn, dns, uri, ip or email, a colon, and the name."`

	Trust     string            `json:"trust,omitempty" example:"prod" doc:"For workload: the name of the trust, or its id if it was removed."`
	Claims    map[string]string `json:"claims,omitempty" example:"{\"sub\":\"m1\"}" doc:"For workload: the claims that a token must have, with their values."`
	ManagedBy string            `json:"managedBy,omitempty" example:"callmap" doc:"For workload: the owner, which is managed-by of its call map file. Absent if the credential belongs to no file."`
}

// NewCredential is the body of a request that creates a credential.
type NewCredential struct {
	Kind        string      `json:"kind,omitempty" names:"kinds" default:"bootstrap" example:"key" doc:"The kind of the credential. Each kind but the first two requires the members that are for it."`
	Name        string      `json:"name,omitempty" maxLength:"128" example:"production" doc:"A name for people."`
	TTLSeconds  int64       `json:"ttlSeconds,omitempty" minimum:"1" maximum:"3155760000" example:"7776000" doc:"The lifetime. The default is 90 days, and for workload 100 years, which is the maximum."`
	NotBefore   *time.Time  `json:"notBefore,omitempty" example:"2026-12-01T00:00:00Z" doc:"The time from which the credential is valid, and at which its lifetime begins. The default is now."`
	CIDR        string      `json:"cidr,omitempty" maxLength:"64" example:"10.0.0.0/8" doc:"The only network from which the credential may be used."`
	JWK         JWK         `json:"jwk,omitempty" doc:"For a key: the public JWK (RFC 7517). A JWK with a private member is refused, and no part of it is stored."`
	JWKSURI     string      `json:"jwksUri,omitempty" maxLength:"1024" example:"https://m1.example.com/jwks.json" doc:"For jwks: an https URL, or an http URL with a loopback address."`
	Certificate string      `json:"certificate,omitempty" maxLength:"16384" doc:"For a certificate: one certificate, in PEM."`
	TLSSubject  *TLSSubject `json:"tlsSubject,omitempty" doc:"For tls_subject: exactly one of the members."`

	Trust  string            `json:"trust,omitempty" maxLength:"128" example:"prod" doc:"For workload: the name of the trust."`
	Claims map[string]string `json:"claims,omitempty" maxProperties:"32" example:"{\"sub\":\"m1\"}" doc:"For workload: the claims that a token must have, with their exact values. The preset of the trust says which are required. A name that it does not list is written as a JSON pointer (RFC 6901)."`
}

// IssuedCredential is a new credential and, if the server makes the secret of its kind, the secret.
type IssuedCredential struct {
	Credential Credential `json:"credential" doc:"The stored part of the credential."`
	Token      string     `json:"token,omitempty" example:"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtMSJ9.c2ln" doc:"The bootstrap credential. It is shown only in this answer, and the server does not store it."`
	Secret     string     `json:"secret,omitempty" example:"wws_m3mZ0qk5bXc8Zt3m8q1y2v4o7n6t9u5s8r1w4x7z0a3" doc:"The client secret. It is shown only in this answer, and the server does not store it."`
	Warning    string     `json:"warning,omitempty" doc:"A problem that the credential may cause."`
}

// CredentialRotation is the body of a request that replaces a credential.
type CredentialRotation struct {
	OverlapSeconds *int64 `json:"overlapSeconds,omitempty" minimum:"0" maximum:"3155760000" example:"3600" doc:"The time for which the old credential remains valid after the first use of the new one. The default is one hour."`
}

// RotatedCredential is a credential that replaces another, with its secret.
type RotatedCredential struct {
	IssuedCredential
	Replaced Credential `json:"replaced" doc:"The old credential, with its new expiry."`
}

// CredentialList is a page of credentials.
type CredentialList struct {
	Credentials   []Credential `json:"credentials" nullable:"false" doc:"The credentials, ordered by id."`
	NextPageToken string       `json:"nextPageToken,omitempty" doc:"The pageToken of the next page. Absent on the last page."`
}

// TLSSubject is the name in certificates of a trusted authority by which a service is recognized.
type TLSSubject struct {
	DN    string `json:"dn,omitempty" maxLength:"1024" example:"CN=m1,O=Example" doc:"The whole subject, in the form of RFC 4514."`
	DNS   string `json:"dns,omitempty" maxLength:"253" example:"m1.example.com" doc:"A subject alternative name of the type dNSName."`
	URI   string `json:"uri,omitempty" maxLength:"1024" example:"spiffe://example.com/m1" doc:"A subject alternative name of the type uniformResourceIdentifier."`
	IP    string `json:"ip,omitempty" maxLength:"45" example:"10.1.2.3" doc:"A subject alternative name of the type iPAddress."`
	Email string `json:"email,omitempty" maxLength:"254" example:"m1@example.com" doc:"A subject alternative name of the type rfc822Name."`
}
