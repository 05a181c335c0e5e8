package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/internal/directory"
)

// Credential is one way in which a service proves itself, as the API shows it.
type Credential struct {
	ID           string     `json:"id" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"The token's jti. Not a secret."`
	Service      string     `json:"service" example:"m1" doc:"Name of the service."`
	Kind         string     `json:"kind" example:"bootstrap" doc:"bootstrap: a long-lived JWT."`
	Name         string     `json:"name" example:"production" doc:"For people. May be empty."`
	CreatedAt    time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made."`
	ExpiresAt    time.Time  `json:"expiresAt" example:"2027-02-22T12:00:00Z" doc:"When it ends, that moment excluded."`
	RevokedAt    *time.Time `json:"revokedAt,omitempty" example:"2026-12-01T08:30:00Z" doc:"When it was revoked. Absent while it was not."`
	CIDR         string     `json:"cidr,omitempty" example:"10.0.0.0/8" doc:"The network it is good from. Absent: any."`
	LastUsedAt   *time.Time `json:"lastUsedAt,omitempty" example:"2026-11-30T23:59:59Z" doc:"When it was last used, some seconds late. Absent: never."`
	LastUsedFrom string     `json:"lastUsedFrom,omitempty" example:"10.1.2.3" doc:"From which address."`
	Status       string     `json:"status" enum:"active,expired,revoked" example:"active" doc:"Whether it is good now."`
}

// NewCredential is the body that makes a credential.
type NewCredential struct {
	Name       string `json:"name,omitempty" maxLength:"128" example:"production" doc:"For people."`
	TTLSeconds int64  `json:"ttlSeconds,omitempty" minimum:"1" maximum:"3155760000" default:"7776000" example:"7776000" doc:"Lifetime: 90 days unless said otherwise, at most 100 years."`
	CIDR       string `json:"cidr,omitempty" maxLength:"64" example:"10.0.0.0/8" doc:"The only network the credential is good from."`
}

// IssuedCredential is a credential and its secret.
type IssuedCredential struct {
	Credential Credential `json:"credential" doc:"What is recorded."`
	Token      string     `json:"token" example:"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtMSJ9.c2ln" doc:"The secret. It is shown this once and kept nowhere."`
	Warning    string     `json:"warning,omitempty" doc:"What is questionable about it."`
}

// CredentialList is a page of credentials.
type CredentialList struct {
	Credentials   []Credential `json:"credentials" nullable:"false" doc:"By id."`
	NextPageToken string       `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}

const longLived = 366 * 24 * time.Hour

const longLivedWarning = "This credential is good for more than a year. If it leaks, it opens the door for as long, unless somebody notices and revokes it; prefer a shorter one and renew it."

type byCredential struct {
	ID string `path:"id" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"Id of the credential."`
}

var (
	exampleCredential = Credential{
		ID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0", Service: "m1", Kind: "bootstrap", Name: "production",
		CreatedAt: exampleTime, ExpiresAt: exampleTime.Add(directory.DefaultCredentialTTL), Status: "active",
	}
	exampleCredentials = CredentialList{Credentials: []Credential{exampleCredential}}
)

func (a *api) credentials() {
	register(a, operation{
		method: http.MethodGet, path: "/credentials", id: "listCredentials", action: action{"credential.list", true}, tag: "credentials",
		summary: "List all credentials", description: "The credentials of all services, a page at a time. Their secrets are kept nowhere. Reading them is recorded in the audit log.",
		answer: exampleCredentials,
	}, func(ctx context.Context, in *struct{ Page }) (*answered[CredentialList], error) {
		return a.listCredentials(ctx, in.Page, directory.UID{}, "")
	})
	register(a, operation{
		method: http.MethodGet, path: "/services/{name}/credentials", id: "listServiceCredentials", action: action{"credential.list", true}, tag: "credentials",
		summary: "List the credentials of a service", description: "A page at a time. Reading them is recorded in the audit log.",
		missing: errNoService, answer: exampleCredentials,
	}, func(ctx context.Context, in *struct {
		ByName
		Page
	},
	) (*answered[CredentialList], error) {
		uid, err := a.resolve(ctx, in.Name)
		if err != nil {
			return nil, err
		}
		return a.listCredentials(ctx, in.Page, uid, directory.FormatUID(uid))
	})
	register(a, operation{
		method: http.MethodPost, path: "/services/{name}/credentials", id: "createCredential", action: action{name: "credential.create"}, tag: "credentials",
		summary: "Issue a credential", description: "Signs a long-lived token with which the service asks for access tokens. The token is in this answer and nowhere else.",
		status: http.StatusCreated, missing: errNoService, errors: []int{http.StatusConflict},
		request: NewCredential{Name: "production", TTLSeconds: 7_776_000},
		answer:  IssuedCredential{Credential: exampleCredential, Token: "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtMSJ9.c2ln"},
	}, a.createCredential)
	register(a, operation{
		method: http.MethodGet, path: "/credentials/{id}", id: "readCredential", action: action{"credential.read", true}, tag: "credentials",
		summary: "Read a credential", description: "Reading it is recorded in the audit log.",
		missing: errNoCredential, answer: exampleCredential,
	}, a.readCredential)
	register(a, operation{
		method: http.MethodPost, path: "/credentials/{id}/revoke", id: "revokeCredential", action: action{name: "credential.revoke"}, tag: "credentials",
		summary: "Revoke a credential", description: "It is refused from the next request on. Access tokens already issued with it stay good until they expire. Revoking it again changes nothing.",
		missing: errNoCredential, errors: []int{http.StatusConflict}, answer: exampleCredential,
	}, a.revokeCredential)
}

func (a *api) listCredentials(ctx context.Context, p Page, service directory.UID, filter string) (*answered[CredentialList], error) {
	const list = "credentials"
	filters := []string{filter}
	after, err := a.pages.position(list, filters, p.PageToken)
	if err != nil {
		return nil, err
	}
	rows, err := a.Lists.ListCredentials(ctx, service, string(after), p.Limit+1)
	if err != nil {
		return nil, err
	}
	rows, next := cut(a, rows, p.Limit, list, filters, func(c directory.Credential) []byte { return []byte(c.ID) })
	views, err := named(ctx, a, rows, a.viewCredential)
	if err != nil {
		return nil, err
	}
	return &answered[CredentialList]{CredentialList{views, next}}, nil
}

func (a *api) createCredential(ctx context.Context, in *struct {
	ByName
	Body *NewCredential
},
) (*created[IssuedCredential], error) {
	body := NewCredential{}
	if in.Body != nil {
		body = *in.Body
	}
	n := directory.NewCredential{Name: body.Name, TTL: time.Duration(body.TTLSeconds) * time.Second}
	if body.CIDR != "" {
		cidr, err := netip.ParsePrefix(body.CIDR)
		if err != nil {
			return nil, &directory.InvalidError{Field: "cidr", Problem: "must be a network such as 10.0.0.0/8 or 2001:db8::/32"}
		}
		n.CIDR = cidr
	}
	c, token, err := a.Issuer.BootstrapCredential(ctx, author(ctx), in.Name, n)
	if err != nil {
		return nil, err
	}
	note(ctx, "credential", c.ID, "expires", c.ExpiresAt.UTC().Format(time.RFC3339))
	issued := IssuedCredential{Credential: a.credential(c, in.Name), Token: token}
	if c.ExpiresAt.Sub(c.CreatedAt) > longLived {
		issued.Warning = longLivedWarning
	}
	return &created[IssuedCredential]{etag(c.Version), prefix + "/credentials/" + c.ID, issued}, nil
}

func (a *api) readCredential(ctx context.Context, in *byCredential) (*versioned[Credential], error) {
	if !isCredentialID(in.ID) {
		return nil, errNoCredential
	}
	c, err := a.Lists.ReadCredential(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.oneCredential(ctx, c)
}

func (a *api) revokeCredential(ctx context.Context, in *byCredential) (*versioned[Credential], error) {
	if !isCredentialID(in.ID) {
		return nil, errNoCredential
	}
	c, err := a.Directory.RevokeCredential(ctx, author(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return a.oneCredential(ctx, c)
}

func (a *api) oneCredential(ctx context.Context, c directory.Credential) (*versioned[Credential], error) {
	views, err := named(ctx, a, []directory.Credential{c}, a.viewCredential)
	if err != nil {
		return nil, err
	}
	if len(views) == 0 {
		return nil, errNoCredential
	}
	return &versioned[Credential]{etag(c.Version), views[0]}, nil
}

func (a *api) viewCredential(s *directory.Snapshot, c directory.Credential) (Credential, bool) {
	owner, ok := s.ServiceByUID(c.Service)
	if !ok {
		return Credential{}, false
	}
	return a.credential(c, owner.Name), true
}

func (a *api) credential(c directory.Credential, service string) Credential {
	v := Credential{
		ID: c.ID, Service: service, Kind: string(c.Kind), Name: c.Name,
		CreatedAt: c.CreatedAt.UTC(), ExpiresAt: c.ExpiresAt.UTC(), RevokedAt: optional(c.RevokedAt),
		LastUsedAt: optional(c.LastUsedAt), LastUsedFrom: c.LastUsedFrom, Status: "active",
	}
	if c.CIDR.IsValid() {
		v.CIDR = c.CIDR.String()
	}
	switch {
	case !c.RevokedAt.IsZero():
		v.Status = "revoked"
	case !a.Now().Before(c.ExpiresAt):
		v.Status = "expired"
	}
	return v
}

// optional is a time that may not be there, in UTC.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// isCredentialID says whether id is 32 hexadecimal digits, as all are.
func isCredentialID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(id) == 32
}
