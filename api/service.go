package api

import "time"

// Service is an actor as the API shows it.
type Service struct {
	UID                   string    `json:"uid" example:"svc_00112233445566778899aabbccddeeff" doc:"Immutable identity. A name that is deleted and made again gets another one."`
	Name                  string    `json:"name" example:"m1" doc:"Unique; the sub and aud of tokens."`
	Description           string    `json:"description" example:"Takes orders." doc:"For people."`
	Disabled              bool      `json:"disabled" example:"false" doc:"A disabled service gets no tokens, and nobody gets a token for it."`
	TokenTTLSeconds       int64     `json:"tokenTtlSeconds" example:"900" doc:"Lifetime of tokens for this service as a target. 0: the server's default."`
	Algorithm             string    `json:"algorithm" example:"ES256" doc:"Signs tokens for this service as a target. Empty: the server's default."`
	Audiences             []string  `json:"audiences" nullable:"false" example:"[\"https://orders.example.com\"]" doc:"Absolute URIs by which it is asked for and known to itself, beside its name (RFC 8707). No two services share one."`
	AuthMethods           []string  `json:"authMethods" nullable:"false" example:"[\"private_key_jwt\"]" doc:"Ways in which it may prove itself. Empty: any."`
	GrantTypes            []string  `json:"grantTypes" nullable:"false" example:"[\"client_credentials\"]" doc:"Grant types it may use at the OAuth token endpoint (RFC 6749, section 4). Empty: any."`
	Binding               string    `json:"binding" enum:",required,dpop,mtls" example:"dpop" doc:"How the tokens it gets must be bound to a key of its own. required: by DPoP or mTLS. dpop: RFC 9449. mtls: RFC 8705. Empty: as it asks."`
	TokenEndpointAudience bool      `json:"tokenEndpointAudience" example:"false" doc:"Its client assertions may name the token endpoint as their audience, as older clients do, and not only the issuer."`
	MultipleTargets       bool      `json:"multipleTargets" example:"false" doc:"It may ask for one token that is good for several services."`
	Owner                 string    `json:"owner" example:"orders@example.com" doc:"Who answers for it."`
	Labels                []string  `json:"labels" nullable:"false" example:"[\"team=web\"]" doc:"What it is, as name=value. Groups of a call map file select by them."`
	ManagedBy             string    `json:"managedBy" example:"callmap" doc:"The call map file that owns it. Empty: it is changed by hand."`
	Observe               bool      `json:"observe" example:"false" doc:"Calls to it that no rule allows are allowed all the same, and recorded."`
	Probe                 string    `json:"probe" example:"https://orders.example.com/hello" doc:"URL that is sent tokens it must refuse, to see whether it does."`
	DefaultTarget         string    `json:"defaultTarget" example:"m2" doc:"Whom its tokens are for when it asks without saying so, at the OAuth token endpoint. Empty: such a request is refused."`
	Version               int64     `json:"version" example:"1" doc:"Counts changes; the ETag in quotes."`
	CreatedAt             time.Time `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made."`
	UpdatedAt             time.Time `json:"updatedAt" example:"2026-11-24T12:00:00Z" doc:"When it was last changed."`
}

// NewService is the body that creates a service.
type NewService struct {
	Name                  string   `json:"name" maxLength:"128" pattern:"^[A-Za-z0-9][A-Za-z0-9._-]*$" patternDescription:"letters, digits, '.', '_' and '-', beginning with a letter or a digit" example:"m1" doc:"1 to 128 letters, digits, '.', '_' and '-', beginning with a letter or a digit."`
	Description           string   `json:"description,omitempty" maxLength:"1024" example:"Takes orders." doc:"For people."`
	TokenTTLSeconds       int64    `json:"tokenTtlSeconds,omitempty" minimum:"0" maximum:"3155760000" example:"900" doc:"Lifetime of tokens for this service as a target. 0: the server's default. The server's configuration bounds it."`
	Algorithm             string   `json:"algorithm,omitempty" enum:",ES256,RS256,PS256,EdDSA" example:"ES256" doc:"Signs tokens for this service as a target. Empty: the server's default."`
	Audiences             []string `json:"audiences,omitempty" nullable:"false" maxItems:"16" example:"[\"https://orders.example.com\"]" doc:"Absolute URIs by which it is asked for and known to itself, beside its name (RFC 8707). No two services share one."`
	AuthMethods           []string `json:"authMethods,omitempty" nullable:"false" maxItems:"16" enum:"client_secret_basic,client_secret_post,private_key_jwt,tls_client_auth,self_signed_tls_client_auth,bootstrap" example:"[\"private_key_jwt\"]" doc:"Ways in which it may prove itself. None: any."`
	GrantTypes            []string `json:"grantTypes,omitempty" nullable:"false" maxItems:"16" enum:"client_credentials,urn:ietf:params:oauth:grant-type:token-exchange,urn:ietf:params:oauth:grant-type:jwt-bearer" example:"[\"client_credentials\"]" doc:"Grant types it may use at the OAuth token endpoint (RFC 6749, section 4). None: any."`
	Binding               string   `json:"binding,omitempty" enum:",required,dpop,mtls" example:"dpop" doc:"How the tokens it gets must be bound to a key of its own. required: by DPoP or mTLS. dpop: RFC 9449. mtls: RFC 8705. Empty: as it asks."`
	TokenEndpointAudience bool     `json:"tokenEndpointAudience,omitempty" example:"false" doc:"Its client assertions may name the token endpoint as their audience, as older clients do, and not only the issuer."`
	MultipleTargets       bool     `json:"multipleTargets,omitempty" example:"false" doc:"It may ask for one token that is good for several services."`
	Owner                 string   `json:"owner,omitempty" maxLength:"128" example:"orders@example.com" doc:"Who answers for it."`
	Labels                []string `json:"labels,omitempty" nullable:"false" maxItems:"32" example:"[\"team=web\"]" doc:"What it is, as name=value. Groups of a call map file select by them."`
	Observe               bool     `json:"observe,omitempty" example:"false" doc:"Allow calls to it that no rule allows, and record them."`
	Probe                 string   `json:"probe,omitempty" maxLength:"1024" example:"https://orders.example.com/hello" doc:"URL that is sent tokens it must refuse, to see whether it does."`
	DefaultTarget         string   `json:"defaultTarget,omitempty" maxLength:"1024" example:"m2" doc:"Whom its tokens are for when it asks without saying so, at the OAuth token endpoint. Empty: such a request is refused."`
}

// ServicePatch is the body that changes a service: what it does not name stays.
type ServicePatch struct {
	Description           *string   `json:"description,omitempty" maxLength:"1024" example:"Takes orders." doc:"For people."`
	Disabled              *bool     `json:"disabled,omitempty" example:"true" doc:"true: no tokens from the next request on."`
	TokenTTLSeconds       *int64    `json:"tokenTtlSeconds,omitempty" minimum:"0" maximum:"3155760000" example:"300" doc:"0: the server's default."`
	Algorithm             *string   `json:"algorithm,omitempty" enum:",ES256,RS256,PS256,EdDSA" example:"EdDSA" doc:"Empty: the server's default."`
	Audiences             *[]string `json:"audiences,omitempty" maxItems:"16" example:"[\"https://orders.example.com\"]" doc:"All it is to have. Absolute URIs by which it is asked for and known to itself, beside its name (RFC 8707). No two services share one."`
	AuthMethods           *[]string `json:"authMethods,omitempty" maxItems:"16" enum:"client_secret_basic,client_secret_post,private_key_jwt,tls_client_auth,self_signed_tls_client_auth,bootstrap" example:"[\"private_key_jwt\"]" doc:"All it is to have. Empty: any."`
	GrantTypes            *[]string `json:"grantTypes,omitempty" maxItems:"16" enum:"client_credentials,urn:ietf:params:oauth:grant-type:token-exchange,urn:ietf:params:oauth:grant-type:jwt-bearer" example:"[\"client_credentials\"]" doc:"All it is to have. Empty: any."`
	Binding               *string   `json:"binding,omitempty" enum:",required,dpop,mtls" example:"dpop" doc:"How the tokens it gets must be bound to a key of its own. required: by DPoP or mTLS. dpop: RFC 9449. mtls: RFC 8705. Empty: as it asks."`
	TokenEndpointAudience *bool     `json:"tokenEndpointAudience,omitempty" example:"false" doc:"Its client assertions may name the token endpoint as their audience, as older clients do, and not only the issuer."`
	MultipleTargets       *bool     `json:"multipleTargets,omitempty" example:"false" doc:"It may ask for one token that is good for several services."`
	Owner                 *string   `json:"owner,omitempty" maxLength:"128" example:"orders@example.com" doc:"Who answers for it."`
	Labels                *[]string `json:"labels,omitempty" maxItems:"32" example:"[\"team=web\"]" doc:"All it is to have, as name=value."`
	Observe               *bool     `json:"observe,omitempty" example:"false" doc:"Allow calls to it that no rule allows, and record them."`
	Probe                 *string   `json:"probe,omitempty" maxLength:"1024" example:"https://orders.example.com/hello" doc:"URL that is sent tokens it must refuse, to see whether it does. Empty: none."`
	DefaultTarget         *string   `json:"defaultTarget,omitempty" maxLength:"1024" example:"m2" doc:"Whom its tokens are for when it asks without saying so. Empty: such a request is refused."`
}

// ServiceList is a page of services.
type ServiceList struct {
	Services      []Service `json:"services" nullable:"false" doc:"By name."`
	NextPageToken string    `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}
