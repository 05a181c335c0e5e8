package operator

import (
	"encoding/json"
	"time"
)

// Service is an actor in the directory.
type Service struct {
	UID                   string    `json:"uid"`
	Name                  string    `json:"name"`
	Description           string    `json:"description"`
	Disabled              bool      `json:"disabled"`
	TokenTTLSeconds       int64     `json:"tokenTtlSeconds"`
	Algorithm             string    `json:"algorithm"`
	Audiences             []string  `json:"audiences"`
	AuthMethods           []string  `json:"authMethods"`
	GrantTypes            []string  `json:"grantTypes"`
	Binding               string    `json:"binding"`
	TokenEndpointAudience bool      `json:"tokenEndpointAudience"`
	MultipleTargets       bool      `json:"multipleTargets"`
	Owner                 string    `json:"owner"`
	Labels                []string  `json:"labels"`
	ManagedBy             string    `json:"managedBy"`
	Observe               bool      `json:"observe"`
	Probe                 string    `json:"probe"`
	DefaultTarget         string    `json:"defaultTarget"`
	Version               int64     `json:"version"`
	CreatedAt             time.Time `json:"createdAt"`
	UpdatedAt             time.Time `json:"updatedAt"`
}

// NewService is what a service is made from.
type NewService struct {
	Name                  string   `json:"name"`
	Description           string   `json:"description,omitempty"`
	TokenTTLSeconds       int64    `json:"tokenTtlSeconds,omitempty"`
	Algorithm             string   `json:"algorithm,omitempty"`
	Audiences             []string `json:"audiences,omitempty"`
	AuthMethods           []string `json:"authMethods,omitempty"`
	GrantTypes            []string `json:"grantTypes,omitempty"`
	Binding               string   `json:"binding,omitempty"`
	TokenEndpointAudience bool     `json:"tokenEndpointAudience,omitempty"`
	MultipleTargets       bool     `json:"multipleTargets,omitempty"`
	Owner                 string   `json:"owner,omitempty"`
	Labels                []string `json:"labels,omitempty"`
	Observe               bool     `json:"observe,omitempty"`
	Probe                 string   `json:"probe,omitempty"`
	DefaultTarget         string   `json:"defaultTarget,omitempty"`
}

// ServiceChange leaves alone what is nil.
type ServiceChange struct {
	Description           *string   `json:"description,omitempty"`
	Disabled              *bool     `json:"disabled,omitempty"`
	TokenTTLSeconds       *int64    `json:"tokenTtlSeconds,omitempty"`
	Algorithm             *string   `json:"algorithm,omitempty"`
	Audiences             *[]string `json:"audiences,omitempty"`
	AuthMethods           *[]string `json:"authMethods,omitempty"`
	GrantTypes            *[]string `json:"grantTypes,omitempty"`
	Binding               *string   `json:"binding,omitempty"`
	TokenEndpointAudience *bool     `json:"tokenEndpointAudience,omitempty"`
	MultipleTargets       *bool     `json:"multipleTargets,omitempty"`
	Owner                 *string   `json:"owner,omitempty"`
	Labels                *[]string `json:"labels,omitempty"`
	Observe               *bool     `json:"observe,omitempty"`
	Probe                 *string   `json:"probe,omitempty"`
	DefaultTarget         *string   `json:"defaultTarget,omitempty"`
}

// Credential is one way in which a service proves itself.
type Credential struct {
	ID           string     `json:"id"`
	Service      string     `json:"service"`
	Kind         string     `json:"kind"`
	Name         string     `json:"name"`
	Status       string     `json:"status"`
	CIDR         string     `json:"cidr"`
	CreatedAt    time.Time  `json:"createdAt"`
	NotBefore    *time.Time `json:"notBefore"`
	ExpiresAt    time.Time  `json:"expiresAt"`
	RevokedAt    *time.Time `json:"revokedAt"`
	LastUsedAt   *time.Time `json:"lastUsedAt"`
	LastUsedFrom string     `json:"lastUsedFrom"`

	// What tells it from others of its kind.
	KeyID      string `json:"keyId"`
	Algorithm  string `json:"algorithm"`
	Thumbprint string `json:"thumbprint"`
	JWKSURI    string `json:"jwksUri"`
	TLSSubject string `json:"tlsSubject"`
}

// NewCredential is what a credential is made from. An empty Kind is bootstrap.
type NewCredential struct {
	Kind        string            `json:"kind,omitempty"`
	Name        string            `json:"name,omitempty"`
	TTLSeconds  int64             `json:"ttlSeconds,omitempty"`
	NotBefore   *time.Time        `json:"notBefore,omitempty"`
	CIDR        string            `json:"cidr,omitempty"`
	JWK         json.RawMessage   `json:"jwk,omitempty"` // public
	JWKSURI     string            `json:"jwksUri,omitempty"`
	Certificate string            `json:"certificate,omitempty"` // PEM
	TLSSubject  map[string]string `json:"tlsSubject,omitempty"`
}

// IssuedCredential is a credential and, where the server made it, its secret, which it tells once.
type IssuedCredential struct {
	Credential Answer[Credential] `json:"credential"`
	Token      string             `json:"token"`
	Secret     string             `json:"secret"`
	Warning    string             `json:"warning"`
	// Replaced is the one before, when this came of a rotation.
	Replaced *Answer[Credential] `json:"replaced"`
}

// Revealed is the secret, of whichever kind; empty where the service has it already.
func (i IssuedCredential) Revealed() string { return i.Token + i.Secret }

// Revocation is an id that no token may hang on any more.
type Revocation struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	RevokedAt time.Time `json:"revokedAt"`
	Until     time.Time `json:"until"`
}

// NewRevocation names a token by its jti, or is it.
type NewRevocation struct {
	JTI   string `json:"jti,omitempty"`
	Token string `json:"token,omitempty"`
}

// Rule is one edge of the call map.
type Rule struct {
	Caller   string   `json:"caller"`
	Target   string   `json:"target"`
	Scopes   []string `json:"scopes"`
	Exchange string   `json:"exchange"`
	MayAct   string   `json:"mayAct"`
	When     *struct {
		Auth     []string `json:"auth"`
		Bound    bool     `json:"bound"`
		Networks []string `json:"networks"`
		Hours    string   `json:"hours"`
		Chain    string   `json:"chain"`
	} `json:"when"`
	ManagedBy string     `json:"managedBy"`
	Until     *time.Time `json:"until"`
	Version   int64      `json:"version"`
	CreatedAt time.Time  `json:"createdAt"`
	UpdatedAt time.Time  `json:"updatedAt"`
}

// NewRule is what is put in the call map.
type NewRule struct {
	Scopes   []string   `json:"scopes"`
	Exchange string     `json:"exchange,omitempty"`
	MayAct   string     `json:"mayAct,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
}

// Key is a key of the ring, without its private half.
type Key struct {
	ID        string          `json:"id"`
	Use       string          `json:"use"`
	Algorithm string          `json:"algorithm"`
	State     string          `json:"state"`
	CreatedAt time.Time       `json:"createdAt"`
	SignsFrom *time.Time      `json:"signsFrom"`
	RetiredAt *time.Time      `json:"retiredAt"`
	DropAt    *time.Time      `json:"dropAt"`
	RevokedAt *time.Time      `json:"revokedAt"`
	Public    json.RawMessage `json:"public"`
}

// Rotation says which keys to replace, and how.
type Rotation struct {
	Use       string `json:"use,omitempty"`
	Algorithm string `json:"algorithm,omitempty"`
	Now       bool   `json:"now,omitempty"`
}

// Resealed counts keys that were sealed anew.
type Resealed struct {
	Resealed int `json:"resealed"`
}

// Info is about the server.
type Info struct {
	Version     string   `json:"version"`
	Issuer      string   `json:"issuer"`
	PlainIssuer string   `json:"plainIssuer"`
	Revision    int64    `json:"revision"`
	Database    string   `json:"database"`
	Algorithms  []string `json:"algorithms"`
	AuditEnd    struct { // the newest record of the audit log that is on disk
		Record uint64 `json:"record"`
		Hash   string `json:"hash"`
	} `json:"auditEnd"`
}

// Probe is what came of sending a service tokens it must refuse.
type Probe struct {
	Service string       `json:"service"`
	URL     string       `json:"url"`
	At      time.Time    `json:"at"`
	Issuer  string       `json:"issuer"`
	Outcome string       `json:"outcome"` // refused, accepted or unclear
	Why     string       `json:"why"`
	Checks  []ProbeCheck `json:"checks"`
}

// ProbeCheck is what came of one request.
type ProbeCheck struct {
	Name    string `json:"name"`
	Must    string `json:"must"`
	Outcome string `json:"outcome"`
	Status  int    `json:"status"`
	Text    string `json:"text"`
}
