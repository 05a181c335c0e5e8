package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

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
	exampleService = api.Service{
		UID: "svc_00112233445566778899aabbccddeeff", Name: "m1", Description: "Takes orders.",
		TokenTTLSeconds: 900, Algorithm: "ES256", Audiences: []string{}, AuthMethods: []string{"private_key_jwt"}, GrantTypes: []string{}, Binding: "dpop", Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime,
	}
)

func viewService(s directory.Service) api.Service {
	return api.Service{
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
		answer: api.ServiceList{Services: []api.Service{exampleService}},
	}, a.listServices)
	register(a, operation{
		method: http.MethodPost, path: "/services", id: "createService", action: action{name: "service.create"}, tag: "services",
		summary: "Create a service", description: "Makes a service that may call nobody and that nobody may call. It proves itself with a credential, made separately.",
		status: http.StatusCreated, errors: []int{http.StatusConflict},
		request: api.NewService{Name: "m1", Description: "Takes orders."}, answer: exampleService,
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

func (a *handlers) listServices(ctx context.Context, in *struct{ Page }) (*answered[api.ServiceList], error) {
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
	out := &answered[api.ServiceList]{api.ServiceList{Services: make([]api.Service, 0, len(rows)), NextPageToken: next}}
	for _, s := range rows {
		out.Body.Services = append(out.Body.Services, viewService(s))
	}
	return out, nil
}

func (a *handlers) createService(ctx context.Context, in *struct{ Body api.NewService }) (*created[api.Service], error) {
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
	return &created[api.Service]{etag(s.Version), prefix + "/services/" + s.Name, viewService(s)}, nil
}

func (a *handlers) readService(ctx context.Context, in *ByName) (*versioned[api.Service], error) {
	s, err := found(ctx, a, in.Name, func(s *directory.Service) (directory.Service, error) { return a.Lists.ReadService(ctx, s.UID) })
	if err != nil {
		return nil, err
	}
	return &versioned[api.Service]{etag(s.Version), viewService(s)}, nil
}

func (a *handlers) updateService(ctx context.Context, in *struct {
	ByName
	Conditions
	Body api.ServicePatch
},
) (*versioned[api.Service], error) {
	version, err := in.version()
	if err != nil {
		return nil, err
	}
	notePatch(ctx, in.Body)
	s, err := a.Directory.UpdateService(ctx, author(ctx), in.Name, existing(version), func(s *directory.Service) { apply(in.Body, s) })
	if err != nil {
		return nil, stale(version, err)
	}
	return &versioned[api.Service]{etag(s.Version), viewService(s)}, nil
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

func apply(p api.ServicePatch, s *directory.Service) {
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

// notePatch records what was asked for. Descriptions are long and decide nothing.
func notePatch(ctx context.Context, p api.ServicePatch) {
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
