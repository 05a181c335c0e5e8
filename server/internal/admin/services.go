package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/server/internal/directory"
)

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

type (
	ByName struct {
		Name string `path:"name" example:"m1" doc:"Name of the service."`
	}
	versioned[T any] struct {
		ETag string `header:"ETag" doc:"The version in quotes, for If-Match."`
		Body T
	}
	created[T any] struct {
		ETag     string `header:"ETag" doc:"The version in quotes, for If-Match."`
		Location string `header:"Location" doc:"Path of what was made."`
		Body     T
	}
	answered[T any] struct{ Body T }
	nothing         struct{}
)

var (
	exampleTime    = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	exampleService = Service{
		UID: "svc_00112233445566778899aabbccddeeff", Name: "m1", Description: "Takes orders.",
		TokenTTLSeconds: 900, Algorithm: "ES256", Audiences: []string{}, AuthMethods: []string{"private_key_jwt"}, GrantTypes: []string{}, Binding: "dpop", Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime,
	}
)

func viewService(s directory.Service) Service {
	return Service{
		UID: directory.FormatUID(s.UID), Name: s.Name, Description: s.Description, Disabled: s.Disabled,
		TokenTTLSeconds: int64(s.TokenTTL / time.Second), Algorithm: s.Algorithm,
		Audiences: append([]string{}, s.Audiences...), AuthMethods: append([]string{}, s.AuthMethods...), GrantTypes: append([]string{}, s.GrantTypes...),
		Binding: string(s.Binding), TokenEndpointAudience: s.TokenEndpointAudience, MultipleTargets: s.MultipleTargets,
		Owner: s.Owner, Labels: append([]string{}, s.Labels...), ManagedBy: s.ManagedBy, Observe: s.Observe, Probe: s.Probe, DefaultTarget: s.DefaultTarget,
		Version: s.Version, CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}
}

func (a *handlers) services() {
	register(a, operation{
		method: http.MethodGet, path: "/services", id: "listServices", action: action{name: "service.list"}, tag: "services",
		summary: "List services", description: "All services, by name, a page at a time.",
		answer: ServiceList{Services: []Service{exampleService}},
	}, a.listServices)
	register(a, operation{
		method: http.MethodPost, path: "/services", id: "createService", action: action{name: "service.create"}, tag: "services",
		summary: "Create a service", description: "Makes a service that may call nobody and that nobody may call. It proves itself with a credential, made separately.",
		status: http.StatusCreated, errors: []int{http.StatusConflict},
		request: NewService{Name: "m1", Description: "Takes orders."}, answer: exampleService,
	}, a.createService)
	register(a, operation{
		method: http.MethodGet, path: "/services/{name}", id: "readService", action: action{name: "service.read"}, tag: "services",
		summary: "Read a service", description: "The service as stored, with its version as ETag.",
		missing: errNoService, answer: exampleService,
	}, a.readService)
	register(a, operation{
		method: http.MethodPatch, path: "/services/{name}", id: "updateService", action: action{name: "service.update"}, tag: "services",
		summary: "Change a service", description: "Changes the members named and leaves the others. Disabling refuses tokens from and for the service at once; its rules and credentials stay.",
		missing: errNoService, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
		request: map[string]any{"disabled": true}, answer: exampleService,
	}, a.updateService)
	register(a, operation{
		method: http.MethodDelete, path: "/services/{name}", id: "deleteService", action: action{name: "service.delete"}, tag: "services",
		summary: "Delete a service", description: "Deletes the service, its credentials and every rule that names it. A service made later under the name inherits nothing.",
		status: http.StatusNoContent, missing: errNoService, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
	}, a.deleteService)
}

func (a *handlers) listServices(ctx context.Context, in *struct{ Page }) (*answered[ServiceList], error) {
	const list = "services"
	after, err := a.pages.position(list, nil, in.PageToken)
	if err != nil {
		return nil, err
	}
	rows, err := a.Lists.ListServices(ctx, string(after), in.Limit+1)
	if err != nil {
		return nil, err
	}
	rows, next := cut(a, rows, in.Limit, list, nil, func(s directory.Service) []byte { return []byte(s.Name) })
	out := &answered[ServiceList]{ServiceList{Services: make([]Service, 0, len(rows)), NextPageToken: next}}
	for _, s := range rows {
		out.Body.Services = append(out.Body.Services, viewService(s))
	}
	return out, nil
}

func (a *handlers) createService(ctx context.Context, in *struct{ Body NewService }) (*created[Service], error) {
	note(ctx, "service", in.Body.Name)
	s, err := a.Directory.CreateService(ctx, author(ctx), directory.NewService{
		Name: in.Body.Name, Description: in.Body.Description, Algorithm: in.Body.Algorithm,
		TokenTTL:  time.Duration(in.Body.TokenTTLSeconds) * time.Second,
		Audiences: in.Body.Audiences, AuthMethods: in.Body.AuthMethods, GrantTypes: in.Body.GrantTypes, Binding: directory.Binding(in.Body.Binding),
		TokenEndpointAudience: in.Body.TokenEndpointAudience, MultipleTargets: in.Body.MultipleTargets,
		Owner: in.Body.Owner, Labels: in.Body.Labels, Observe: in.Body.Observe, Probe: in.Body.Probe, DefaultTarget: in.Body.DefaultTarget,
	})
	if err != nil {
		return nil, err
	}
	note(ctx, "uid", directory.FormatUID(s.UID))
	return &created[Service]{etag(s.Version), prefix + "/services/" + s.Name, viewService(s)}, nil
}

func (a *handlers) readService(ctx context.Context, in *ByName) (*versioned[Service], error) {
	s, err := found(ctx, a, in.Name, func(s *directory.Service) (directory.Service, error) { return a.Lists.ReadService(ctx, s.UID) })
	if err != nil {
		return nil, err
	}
	return &versioned[Service]{etag(s.Version), viewService(s)}, nil
}

func (a *handlers) updateService(ctx context.Context, in *struct {
	ByName
	Conditions
	Body ServicePatch
},
) (*versioned[Service], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	patch := in.Body
	patch.note(ctx)
	s, err := a.Directory.UpdateService(ctx, author(ctx), in.Name, existing(version), patch.apply)
	if err != nil {
		return nil, stale(version, err)
	}
	return &versioned[Service]{etag(s.Version), viewService(s)}, nil
}

func (a *handlers) deleteService(ctx context.Context, in *struct {
	ByName
	Conditions
},
) (*nothing, error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	return nil, stale(version, a.Directory.DeleteService(ctx, author(ctx), in.Name, existing(version)))
}

func (p ServicePatch) apply(s *directory.Service) {
	set(&s.Description, p.Description)
	set(&s.Disabled, p.Disabled)
	set(&s.Algorithm, p.Algorithm)
	set(&s.Audiences, p.Audiences)
	set(&s.AuthMethods, p.AuthMethods)
	set(&s.GrantTypes, p.GrantTypes)
	set(&s.TokenEndpointAudience, p.TokenEndpointAudience)
	set(&s.MultipleTargets, p.MultipleTargets)
	set(&s.Owner, p.Owner)
	set(&s.Labels, p.Labels)
	set(&s.Observe, p.Observe)
	set(&s.Probe, p.Probe)
	set(&s.DefaultTarget, p.DefaultTarget)
	if p.Binding != nil {
		s.Binding = directory.Binding(*p.Binding)
	}
	if p.TokenTTLSeconds != nil {
		s.TokenTTL = time.Duration(*p.TokenTTLSeconds) * time.Second
	}
}

// set changes what the patch names.
func set[T any](field, named *T) {
	if named != nil {
		*field = *named
	}
}

// note records what was asked for. Descriptions are long and decide nothing.
func (p ServicePatch) note(ctx context.Context) {
	var changed []string
	if p.Description != nil {
		changed = append(changed, "description")
	}
	changed = appendSet(changed, "disabled", p.Disabled)
	changed = appendSet(changed, "tokenTtlSeconds", p.TokenTTLSeconds)
	changed = appendSet(changed, "algorithm", p.Algorithm)
	changed = appendSet(changed, "audiences", p.Audiences)
	changed = appendSet(changed, "authMethods", p.AuthMethods)
	changed = appendSet(changed, "grantTypes", p.GrantTypes)
	changed = appendSet(changed, "binding", p.Binding)
	changed = appendSet(changed, "tokenEndpointAudience", p.TokenEndpointAudience)
	changed = appendSet(changed, "multipleTargets", p.MultipleTargets)
	changed = appendSet(changed, "owner", p.Owner)
	changed = appendSet(changed, "labels", p.Labels)
	changed = appendSet(changed, "observe", p.Observe)
	changed = appendSet(changed, "probe", p.Probe)
	changed = appendSet(changed, "defaultTarget", p.DefaultTarget)
	note(ctx, "set", strings.Join(changed, " "))
}

// appendSet adds the name and the value of a member that the patch has.
func appendSet[T any](changed []string, name string, value *T) []string {
	if value == nil {
		return changed
	}
	return append(changed, fmt.Sprintf("%s=%v", name, *value))
}

// existing is the directory's word for version, for what must be there in any case.
func existing(version int64) int64 {
	if version == anyExisting {
		return directory.AnyVersion
	}
	return version
}

// stale says that it was the caller's version, where one was named, that did not fit.
func stale(version int64, err error) error {
	if version != directory.AnyVersion && errors.Is(err, directory.ErrConflict) {
		return errPrecondition
	}
	return err
}
