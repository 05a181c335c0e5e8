package api

import "time"

// Credential is a credential of a service, as the API shows it.
type Credential struct {
	ID           string     `json:"id" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"Not a secret. Of a bootstrap credential the token's jti."`
	Service      string     `json:"service" example:"m1" doc:"Name of the service."`
	Kind         string     `json:"kind" names:"kinds" example:"bootstrap" doc:"What it is."`
	Name         string     `json:"name" example:"production" doc:"For people. May be empty."`
	CreatedAt    time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made."`
	NotBefore    *time.Time `json:"notBefore,omitempty" example:"2026-12-01T00:00:00Z" doc:"When it begins to be good. Absent: when it was made."`
	ExpiresAt    time.Time  `json:"expiresAt" example:"2027-02-22T12:00:00Z" doc:"When it ends, that moment excluded."`
	RevokedAt    *time.Time `json:"revokedAt,omitempty" example:"2026-12-01T08:30:00Z" doc:"When it was revoked. Absent while it was not."`
	Replaces     string     `json:"replaces,omitempty" example:"1f0e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The credential that this one replaces, and that ends overlapSeconds after this one was first used. Absent: none."`
	Overlap      int64      `json:"overlapSeconds,omitempty" example:"3600" doc:"See replaces."`
	CIDR         string     `json:"cidr,omitempty" example:"10.0.0.0/8" doc:"The network it is good from. Absent: any."`
	LastUsedAt   *time.Time `json:"lastUsedAt,omitempty" example:"2026-11-30T23:59:59Z" doc:"When it was last used, some seconds late. Absent: never."`
	LastUsedFrom string     `json:"lastUsedFrom,omitempty" example:"10.1.2.3" doc:"From which address."`
	Status       string     `json:"status" enum:"active,not_yet_valid,expired,revoked" example:"active" doc:"Whether it is good now."`

	KeyID      string `json:"keyId,omitempty" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"Of a key: its kid."`
	Algorithm  string `json:"algorithm,omitempty" example:"ES256" doc:"Of a key: what it signs with."`
	Thumbprint string `json:"thumbprint,omitempty" example:"tEfUSKu5sRsTAWDd6VPfPYRKUTwaEXIhxZBeeI1xvZk" doc:"Of a key: its SHA-256 thumbprint (RFC 7638). Of a certificate: its x5t#S256 (RFC 8705)."`
	JWKSURI    string `json:"jwksUri,omitempty" example:"https://m1.example.com/jwks.json" doc:"Of a jwks: where the keys are."`
	TLSSubject string `json:"tlsSubject,omitempty" example:"dns:m1.example.com" doc:"Of a tls_subject: dn, dns, uri, ip or email, a colon, and the name."`
}

// NewCredential is the body that makes a credential.
type NewCredential struct {
	Kind        string      `json:"kind,omitempty" names:"kinds" default:"bootstrap" example:"key" doc:"bootstrap unless said otherwise. Each of the last four needs the member that is named for it."`
	Name        string      `json:"name,omitempty" maxLength:"128" example:"production" doc:"For people."`
	TTLSeconds  int64       `json:"ttlSeconds,omitempty" minimum:"1" maximum:"3155760000" default:"7776000" example:"7776000" doc:"Lifetime: 90 days unless said otherwise, at most 100 years."`
	NotBefore   *time.Time  `json:"notBefore,omitempty" example:"2026-12-01T00:00:00Z" doc:"When it begins to be good, and its lifetime counts from. Absent: now."`
	CIDR        string      `json:"cidr,omitempty" maxLength:"64" example:"10.0.0.0/8" doc:"The only network the credential is good from."`
	JWK         JWK         `json:"jwk,omitempty" doc:"For a key: the public JWK (RFC 7517). One with a private member is refused, and nothing of it kept."`
	JWKSURI     string      `json:"jwksUri,omitempty" maxLength:"1024" example:"https://m1.example.com/jwks.json" doc:"For a jwks: an https URL, or an http one at a loopback address."`
	Certificate string      `json:"certificate,omitempty" maxLength:"16384" doc:"For a certificate: one, in PEM."`
	TLSSubject  *TLSSubject `json:"tlsSubject,omitempty" doc:"For a tls_subject: exactly one of its members."`
}

// IssuedCredential is a credential and, of a kind whose secret this server makes, the secret.
type IssuedCredential struct {
	Credential Credential `json:"credential" doc:"What is recorded."`
	Token      string     `json:"token,omitempty" example:"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtMSJ9.c2ln" doc:"The bootstrap credential. It is shown this once and kept nowhere."`
	Secret     string     `json:"secret,omitempty" example:"wws_m3mZ0qk5bXc8Zt3m8q1y2v4o7n6t9u5s8r1w4x7z0a3" doc:"The client secret. It is shown this once and kept nowhere."`
	Warning    string     `json:"warning,omitempty" doc:"What is questionable about it."`
}

// CredentialRotation is the body that rotates a credential.
type CredentialRotation struct {
	OverlapSeconds *int64 `json:"overlapSeconds,omitempty" minimum:"0" maximum:"3155760000" example:"3600" doc:"How long the old one stays good after the first use of the new one: an hour unless said otherwise."`
}

// RotatedCredential is the credential in the place of another, and its secret.
type RotatedCredential struct {
	IssuedCredential
	Replaced Credential `json:"replaced" doc:"The one before. It gets its new end when the new one is first used."`
}

// CredentialList is a page of credentials.
type CredentialList struct {
	Credentials   []Credential `json:"credentials" nullable:"false" doc:"By id."`
	NextPageToken string       `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}

// TLSSubject is the one name in certificates of a trusted authority by which a service is known.
type TLSSubject struct {
	DN    string `json:"dn,omitempty" maxLength:"1024" example:"CN=m1,O=Example" doc:"The whole subject, as RFC 4514 writes it."`
	DNS   string `json:"dns,omitempty" maxLength:"253" example:"m1.example.com" doc:"A dNSName among the alternative names."`
	URI   string `json:"uri,omitempty" maxLength:"1024" example:"spiffe://example.com/m1" doc:"A uniformResourceIdentifier among them."`
	IP    string `json:"ip,omitempty" maxLength:"45" example:"10.1.2.3" doc:"An iPAddress among them."`
	Email string `json:"email,omitempty" maxLength:"254" example:"m1@example.com" doc:"An rfc822Name among them."`
}
