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
		Name string `path:"name" example:"m1" doc:"The name of the service."`
	}
	versioned[T any] struct {
		ETag string `header:"ETag" doc:"The version in quotes, for the header If-Match."`
		Body T
	}
	created[T any] struct {
		ETag     string `header:"ETag" doc:"The version in quotes, for the header If-Match."`
		Location string `header:"Location" doc:"The path of the created resource."`
		Body     T
	}
	answered[T any] struct{ Body T }
	nothing         struct{}
)

var (
	exampleTime    = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	exampleService = api.Service{
		UID: "svc_00112233445566778899aabbccddeeff", Name: "m1", Version: 1, CreatedAt: exampleTime, UpdatedAt: exampleTime,
		ServiceSettings: api.ServiceSettings{
			Description: "takes orders", TokenTTLSeconds: 900, Algorithm: "ES256", Labels: []string{}, Audiences: []string{},
			AuthMethods: []string{api.PrivateKeyJWT}, GrantTypes: []string{}, Binding: api.BindingDPoP,
		},
	}
	exampleNewService = api.NewService{Name: "m1", ServicePatch: api.ServicePatch{Description: new("takes orders")}}

	// settings are the members of a service.
	settings = api.ServiceMembers()
)

func viewService(s directory.Service) api.Service {
	v := api.Service{
		UID: directory.FormatUID(s.UID), Name: s.Name, ServiceSettings: s.ServiceSettings, ManagedBy: s.ManagedBy,
		Version: s.Version, CreatedAt: s.CreatedAt.UTC(), UpdatedAt: s.UpdatedAt.UTC(),
	}
	for _, m := range settings {
		if list, ok := m.Of(&v.ServiceSettings).(*[]string); ok && *list == nil {
			*list = []string{} // not null
		}
	}
	return v
}

func (a *handlers) services() {
	register(a, operation{
		method: http.MethodGet, path: "/services", id: "listServices", action: action{name: "service.list"}, tag: "services",
		summary: "List services", description: "Lists all services in pages, ordered by name.",
		answer: api.ServiceList{Services: []api.Service{exampleService}},
	}, a.listServices)
	register(a, operation{
		method: http.MethodPost, path: "/services", id: "createService", action: action{name: "service.create", creates: true}, tag: "services",
		summary: "Create a service", description: "Creates a service. It has no credentials, and no rule allows it to call others or to be called.",
		status: http.StatusCreated, errors: []int{http.StatusConflict},
		request: exampleNewService, answer: exampleService,
	}, a.createService)
	register(a, operation{
		method: http.MethodGet, path: "/services/{name}", id: "readService", action: action{name: "service.read"}, tag: "services",
		summary: "Read a service", description: "Returns the service, with its version as ETag.",
		missing: errNoService, answer: exampleService,
	}, a.readService)
	register(a, operation{
		method: http.MethodPatch, path: "/services/{name}", id: "updateService", action: action{name: "service.update"}, tag: "services",
		summary: "Change a service", description: "Changes the settings that the request contains, and no others. A list is replaced as a whole. A service that is disabled gets no tokens, and no tokens are issued for it. Its rules and credentials remain.",
		missing: errNoService, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
		request: map[string]any{"disabled": true}, answer: exampleService,
	}, a.updateService)
	register(a, operation{
		method: http.MethodDelete, path: "/services/{name}", id: "deleteService", action: action{name: "service.delete"}, tag: "services",
		summary: "Delete a service", description: "Deletes the service, its credentials and every rule that names it. A service that is later created under the same name has none of them.",
		status: http.StatusNoContent, missing: errNoService, errors: []int{http.StatusConflict, http.StatusPreconditionFailed},
	}, a.deleteService)
}

func (a *handlers) listServices(ctx context.Context, in *struct{ Page }) (*answered[api.ServiceList], error) {
	views, next, err := listing[directory.Service, api.Service]{
		name: "services",
		read: func(after []byte, limit int) ([]directory.Service, error) {
			return a.Lists.ListServices(ctx, string(after), limit)
		},
		position: func(s directory.Service) []byte { return []byte(s.Name) },
		view:     func(_ *directory.Snapshot, s directory.Service) (api.Service, bool) { return viewService(s), true },
	}.page(ctx, a, in.Page)
	return &answered[api.ServiceList]{api.ServiceList{Services: views, NextPageToken: next}}, err
}

func (a *handlers) createService(ctx context.Context, in *struct{ Body api.NewService }) (*created[api.Service], error) {
	note(ctx, "service", in.Body.Name)
	n := directory.NewService{Name: in.Body.Name}
	in.Body.Apply(&n.ServiceSettings)
	s, err := a.Directory.CreateService(ctx, author(ctx), n)
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
	s, err := a.Directory.UpdateService(ctx, author(ctx), in.Name, existing(version), func(s *directory.Service) { in.Body.Apply(&s.ServiceSettings) })
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

// notePatch records what was asked for. Descriptions are long and decide nothing.
func notePatch(ctx context.Context, p api.ServicePatch) {
	var changed []string
	for _, m := range settings {
		switch value := m.Given(&p); {
		case value == nil:
		case m.Name == "description":
			changed = append(changed, m.Name)
		default:
			changed = append(changed, fmt.Sprintf("%s=%v", m.Name, value))
		}
	}
	note(ctx, "set", strings.Join(changed, " "))
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
