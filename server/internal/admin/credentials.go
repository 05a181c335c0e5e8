package admin

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

const longLived = 366 * 24 * time.Hour

const longLivedWarning = "This credential is valid for more than a year. If it leaks, it can be used until it expires or is revoked. Prefer a shorter lifetime, and rotate the credential."

// Ending is the part of a request that asks for credentials that end soon.
type Ending struct {
	Within int64 `query:"expiresWithinSeconds" minimum:"1" maximum:"3155760000" example:"1209600" doc:"Only credentials that are not revoked and expire within this time."`
}

// ByCredential is the path of one credential.
type ByCredential struct {
	ID string `path:"id" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The id of the credential."`
}

var (
	exampleCredential = api.Credential{
		ID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0", Service: "m1", Kind: "bootstrap", Name: "production",
		CreatedAt: exampleTime, ExpiresAt: exampleTime.Add(directory.DefaultCredentialTTL), Status: "active",
	}
	exampleSecret = api.Credential{
		ID: "1f0e2d3c4b5a69788796a5b4c3d2e1f0", Service: "m1", Kind: "secret", Name: "production",
		CreatedAt: exampleTime, ExpiresAt: exampleTime.Add(directory.DefaultCredentialTTL), Status: "active",
	}
	exampleCredentials = api.CredentialList{Credentials: []api.Credential{exampleCredential}}
)

func (a *handlers) credentials() {
	register(a, operation{
		method: http.MethodGet, path: "/credentials", id: "listCredentials", action: action{name: "credential.list", audited: true}, tag: "credentials",
		summary: "List all credentials", description: "Lists the credentials of all services in pages. The server does not store the secrets. The request is recorded in the audit log.",
		answer: exampleCredentials,
	}, func(ctx context.Context, in *struct {
		Page
		Ending
	},
	) (*answered[api.CredentialList], error) {
		return a.listCredentials(ctx, in.Page, directory.UID{}, in.Ending)
	})
	register(a, operation{
		method: http.MethodGet, path: "/services/{name}/credentials", id: "listServiceCredentials", action: action{name: "credential.list", audited: true}, tag: "credentials",
		summary: "List the credentials of a service", description: "Lists the credentials in pages. The request is recorded in the audit log.",
		missing: errNoService, answer: exampleCredentials,
	}, func(ctx context.Context, in *struct {
		ByName
		Page
		Ending
	},
	) (*answered[api.CredentialList], error) {
		uid, err := a.resolve(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		return a.listCredentials(ctx, in.Page, uid, in.Ending)
	})
	register(a, operation{
		method: http.MethodPost, path: "/services/{name}/credentials", id: "createCredential", action: action{name: "credential.create", creates: true, changes: changesEither}, tag: "credentials",
		summary: "Create a credential", description: "Creates a bootstrap credential, which is a long-lived token, or a client secret, and returns it. It cannot be read again, because the server does not store it. For the other kinds, the request contains the public part of what the service has.",
		status: http.StatusCreated, missing: errNoService, errors: []int{http.StatusConflict},
		request: api.NewCredential{Name: "production", TTLSeconds: 7_776_000},
		answer:  api.IssuedCredential{Credential: exampleCredential, Token: "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtMSJ9.c2ln"},
	}, a.createCredential)
	register(a, operation{
		method: http.MethodGet, path: "/credentials/{id}", id: "readCredential", action: action{name: "credential.read", audited: true}, tag: "credentials",
		summary: "Read a credential", description: "Returns a credential. The request is recorded in the audit log.",
		missing: errNoCredential, answer: exampleCredential,
	}, a.readCredential)
	register(a, operation{
		method: http.MethodPost, path: "/credentials/{id}/rotate", id: "rotateCredential", action: action{name: "credential.rotate", creates: true}, tag: "credentials",
		summary: "Replace a credential", description: "Creates a secret or a bootstrap credential with the name, the network and the lifetime of the old one. The old one expires when the overlap has passed since the new one was first used. If the answer does not arrive, revoke the new one and repeat the request. Tokens that were issued for the old credential remain valid until they expire. While both credentials are valid, neither can be replaced.",
		status: http.StatusCreated, missing: errNoCredential, errors: []int{http.StatusConflict},
		request: map[string]any{"overlapSeconds": 3600},
		answer:  api.RotatedCredential{IssuedCredential: api.IssuedCredential{Credential: exampleSecret, Secret: "wws_m3mZ0qk5bXc8Zt3m8q1y2v4o7n6t9u5s8r1w4x7z0a3"}, Replaced: exampleSecret},
	}, a.rotateCredential)
	register(a, operation{
		method: http.MethodPost, path: "/credentials/{id}/revoke", id: "revokeCredential", action: action{name: "credential.revoke", changes: changesEither}, tag: "credentials",
		summary: "Revoke a credential", description: "The server refuses the next request with the credential. Introspection refuses the tokens that were issued for it, and tokens exchanged for those, at once. Services that follow the deny-list refuse them within a second, and services that only verify signatures accept them until they expire. Revoking a credential again changes nothing.",
		missing: errNoCredential, errors: []int{http.StatusConflict}, answer: exampleCredential,
	}, a.revokeCredential)
}

func (a *handlers) listCredentials(ctx context.Context, p Page, service directory.UID, ending Ending) (*answered[api.CredentialList], error) {
	f := directory.CredentialFilter{Service: service}
	if ending.Within > 0 {
		f.EndsAfter = a.Now()
		f.EndsBy = f.EndsAfter.Add(time.Duration(ending.Within) * time.Second)
	}
	views, next, err := listing[directory.Credential, api.Credential]{
		name: "credentials", filters: []string{directory.FormatUID(service), strconv.FormatInt(ending.Within, 10)},
		read: func(after []byte, limit int) ([]directory.Credential, error) {
			return a.Lists.ListCredentials(ctx, f, string(after), limit)
		},
		position: func(c directory.Credential) []byte { return []byte(c.ID) },
		view:     a.viewCredential,
	}.page(ctx, a, p)
	return &answered[api.CredentialList]{api.CredentialList{Credentials: views, NextPageToken: next}}, err
}

func (a *handlers) createCredential(ctx context.Context, in *struct {
	ByName
	Body *api.NewCredential
},
) (*created[api.IssuedCredential], error) {
	body := api.NewCredential{}
	if in.Body != nil {
		body = *in.Body
	}
	if err := a.mayChange(ctx, changing(body.Kind == api.KindWorkload)); err != nil {
		return nil, err
	}
	if body.Kind == api.KindWorkload && body.Claims == nil {
		body.Claims = map[string]string{} // the preset of the trust says what is missing
	}
	n := directory.NewCredential{Kind: directory.Kind(body.Kind), Trust: body.Trust, Claims: body.Claims, Name: body.Name, TTL: time.Duration(body.TTLSeconds) * time.Second}
	if body.NotBefore != nil {
		n.NotBefore = *body.NotBefore
	}
	if body.CIDR != "" {
		cidr, err := netip.ParsePrefix(body.CIDR)
		if err != nil {
			return nil, &directory.InvalidError{Field: "cidr", Problem: "must be a network such as 10.0.0.0/8 or 2001:db8::/32"}
		}
		n.CIDR = cidr
	}
	if body.Trust != "" {
		note(ctx, "trust", body.Trust)
	}
	owner, err := a.resolve(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	var warning string
	if n.Material, warning, err = a.material(&body, owner); err != nil {
		return nil, err
	}
	c, secret, err := a.Issuer.Credential(ctx, author(ctx), in.Name, n)
	if err != nil {
		return nil, err
	}
	if rival, other := a.Directory.Snapshot().Rival(&c, a.Now()); rival != nil {
		warning = "Such tokens prove " + other.Name + " already (credential " + rival.ID + "). A request that does not name the service (client_id, --as, WATCHWORD_CLIENT_ID) is refused for both."
	}
	issued := a.issued(ctx, c, in.Name, secret, warning)
	return &created[api.IssuedCredential]{etag(c.Version), prefix + "/credentials/" + c.ID, issued}, nil
}

// issued is the answer that has the secret, under the name of its kind.
func (a *handlers) issued(ctx context.Context, c directory.Credential, service, secret, warning string) api.IssuedCredential {
	note(ctx, "credential", c.ID, "kind", string(c.Kind), "expires", c.ExpiresAt.UTC().Format(time.RFC3339))
	issued := api.IssuedCredential{Credential: a.credential(c, service), Warning: warning}
	if c.Kind == directory.KindSecret {
		issued.Secret = secret
	} else {
		issued.Token = secret
	}
	if c.ExpiresAt.Sub(c.CreatedAt) > longLived && secret != "" {
		issued.Warning = longLivedWarning
	}
	return issued
}

func (a *handlers) rotateCredential(ctx context.Context, in *struct {
	ByCredential
	Body *api.CredentialRotation
},
) (*created[api.RotatedCredential], error) {
	if !isCredentialID(in.ID) {
		return nil, errNoCredential
	}
	overlap := time.Hour
	if in.Body != nil && in.Body.OverlapSeconds != nil {
		overlap = time.Duration(*in.Body.OverlapSeconds) * time.Second
	}
	fresh, old, secret, err := a.Issuer.RotateCredential(ctx, author(ctx), in.ID, overlap)
	if err != nil {
		return nil, err
	}
	views, err := named(ctx, a, []directory.Credential{fresh, old}, a.viewCredential)
	if err != nil {
		return nil, err
	}
	if len(views) < 2 {
		return nil, errNoCredential
	}
	out := api.RotatedCredential{IssuedCredential: a.issued(ctx, fresh, views[0].Service, secret, ""), Replaced: views[1]}
	return &created[api.RotatedCredential]{etag(fresh.Version), prefix + "/credentials/" + fresh.ID, out}, nil
}

func (a *handlers) readCredential(ctx context.Context, in *ByCredential) (*versioned[api.Credential], error) {
	if !isCredentialID(in.ID) {
		return nil, errNoCredential
	}
	c, err := a.Lists.ReadCredential(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.oneCredential(ctx, c)
}

func (a *handlers) revokeCredential(ctx context.Context, in *ByCredential) (*versioned[api.Credential], error) {
	if !isCredentialID(in.ID) {
		return nil, errNoCredential
	}
	c, err := a.Lists.ReadCredential(ctx, in.ID)
	if err == nil {
		err = a.mayChange(ctx, changing(c.Kind == directory.KindWorkload))
	}
	if err == nil {
		c, err = a.Directory.RevokeCredential(ctx, author(ctx), in.ID)
	}
	if err != nil {
		return nil, err
	}
	return a.oneCredential(ctx, c)
}

func (a *handlers) oneCredential(ctx context.Context, c directory.Credential) (*versioned[api.Credential], error) {
	views, err := named(ctx, a, []directory.Credential{c}, a.viewCredential)
	if err != nil {
		return nil, err
	}
	if len(views) == 0 {
		return nil, errNoCredential
	}
	return &versioned[api.Credential]{etag(c.Version), views[0]}, nil
}

func (a *handlers) viewCredential(s *directory.Snapshot, c directory.Credential) (api.Credential, bool) {
	owner, ok := s.ServiceByUID(c.Service)
	if !ok {
		return api.Credential{}, false
	}
	return a.credential(c, owner.Name), true
}

func (a *handlers) credential(c directory.Credential, service string) api.Credential {
	v := api.Credential{
		ID: c.ID, Service: service, Kind: string(c.Kind), Name: c.Name,
		CreatedAt: c.CreatedAt.UTC(), NotBefore: optional(c.NotBefore), ExpiresAt: c.ExpiresAt.UTC(), RevokedAt: optional(c.RevokedAt),
		LastUsedAt: optional(c.LastUsedAt), LastUsedFrom: c.LastUsedFrom, Status: "active",
		Replaces: c.Replaces, Overlap: int64(c.Overlap / time.Second),
	}
	if why := c.Good(a.Now()); why != "" {
		v.Status = why
	}
	identify(&v, c, a.Directory.Snapshot())
	if c.CIDR.IsValid() {
		v.CIDR = c.CIDR.String()
	}
	return v
}

// identify tells people which key, certificate or name it is. What is stored of a secret is
// nobody's business.
func identify(v *api.Credential, c directory.Credential, s *directory.Snapshot) {
	switch c.Kind {
	case directory.KindKey:
		// What the server stored it can read.
		if k, _, err := jose.ParseClientJWK([]byte(c.Material)); err == nil {
			v.KeyID, v.Algorithm = k.ID, string(k.Algorithm)
			v.Thumbprint, _ = jose.Thumbprint(k.Key)
		}
	case directory.KindJWKS:
		v.JWKSURI = c.Material
	case directory.KindCertificate:
		v.Thumbprint = c.Material
	case directory.KindTLSSubject:
		v.TLSSubject = c.Material
	case directory.KindWorkload:
		v.Trust, v.ManagedBy = c.Trust, c.ManagedBy
		if t, ok := s.Trust(c.Trust); ok {
			v.Trust = t.Name
		}
		v.Claims, _ = directory.ParseClaims(c.Material) // as it was stored
	}
}

// optional is a time that may not be there, in UTC.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// isCredentialID reports whether id is 32 hexadecimal digits, as all are.
func isCredentialID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(id) == 32
}
