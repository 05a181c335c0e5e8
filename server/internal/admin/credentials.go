package admin

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

// Credential is one way in which a service proves itself, as the API shows it.
type Credential struct {
	ID           string     `json:"id" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"Not a secret. Of a bootstrap credential the token's jti."`
	Service      string     `json:"service" example:"m1" doc:"Name of the service."`
	Kind         string     `json:"kind" enum:"bootstrap,secret,key,jwks,certificate,tls_subject" example:"bootstrap" doc:"bootstrap: a long-lived JWT. secret: a client secret. key: a public key, whose private half signs assertions. jwks: where the service publishes such keys. certificate: a self-signed certificate. tls_subject: a name in certificates of a trusted authority."`
	Name         string     `json:"name" example:"production" doc:"For people. May be empty."`
	CreatedAt    time.Time  `json:"createdAt" example:"2026-11-24T12:00:00Z" doc:"When it was made."`
	NotBefore    *time.Time `json:"notBefore,omitempty" example:"2026-12-01T00:00:00Z" doc:"When it begins to be good. Absent: when it was made."`
	ExpiresAt    time.Time  `json:"expiresAt" example:"2027-02-22T12:00:00Z" doc:"When it ends, that moment excluded."`
	RevokedAt    *time.Time `json:"revokedAt,omitempty" example:"2026-12-01T08:30:00Z" doc:"When it was revoked. Absent while it was not."`
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
	Kind        string      `json:"kind,omitempty" enum:"bootstrap,secret,key,jwks,certificate,tls_subject" default:"bootstrap" example:"key" doc:"bootstrap unless said otherwise. Each of the last four needs the member that is named for it."`
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

// NewRotation is the body that rotates a credential.
type NewRotation struct {
	OverlapSeconds *int64 `json:"overlapSeconds,omitempty" minimum:"0" maximum:"3155760000" example:"3600" doc:"How long the old one stays good beside the new one: an hour unless said otherwise. 0: not at all."`
}

// RotatedCredential is the credential in the place of another, and its secret.
type RotatedCredential struct {
	IssuedCredential
	Replaced Credential `json:"replaced" doc:"The one before, with its new end."`
}

// CredentialList is a page of credentials.
type CredentialList struct {
	Credentials   []Credential `json:"credentials" nullable:"false" doc:"By id."`
	NextPageToken string       `json:"nextPageToken,omitempty" doc:"Asks for the next page. Absent on the last one."`
}

const longLived = 366 * 24 * time.Hour

const longLivedWarning = "This credential is good for more than a year. If it leaks, it opens the door for as long, unless somebody notices and revokes it; prefer a shorter one and renew it."

// ByCredential is the path of one credential.
type ByCredential struct {
	ID string `path:"id" example:"0f1e2d3c4b5a69788796a5b4c3d2e1f0" doc:"Id of the credential."`
}

var (
	exampleCredential = Credential{
		ID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0", Service: "m1", Kind: "bootstrap", Name: "production",
		CreatedAt: exampleTime, ExpiresAt: exampleTime.Add(directory.DefaultCredentialTTL), Status: "active",
	}
	exampleSecret = Credential{
		ID: "1f0e2d3c4b5a69788796a5b4c3d2e1f0", Service: "m1", Kind: "secret", Name: "production",
		CreatedAt: exampleTime, ExpiresAt: exampleTime.Add(directory.DefaultCredentialTTL), Status: "active",
	}
	exampleCredentials = CredentialList{Credentials: []Credential{exampleCredential}}
)

func (a *handlers) credentials() {
	register(a, operation{
		method: http.MethodGet, path: "/credentials", id: "listCredentials", action: action{name: "credential.list", audited: true}, tag: "credentials",
		summary: "List all credentials", description: "The credentials of all services, a page at a time. Their secrets are kept nowhere. Reading them is recorded in the audit log.",
		answer: exampleCredentials,
	}, func(ctx context.Context, in *struct{ Page }) (*answered[CredentialList], error) {
		return a.listCredentials(ctx, in.Page, directory.UID{}, "")
	})
	register(a, operation{
		method: http.MethodGet, path: "/services/{name}/credentials", id: "listServiceCredentials", action: action{name: "credential.list", audited: true}, tag: "credentials",
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
		summary: "Make a credential", description: "Makes a bootstrap credential, which is a long-lived token, or a client secret, and answers with it this once; or records the public half of what the service made for itself. Nothing that is stored proves anything to anybody.",
		status: http.StatusCreated, missing: errNoService, errors: []int{http.StatusConflict},
		request: NewCredential{Name: "production", TTLSeconds: 7_776_000},
		answer:  IssuedCredential{Credential: exampleCredential, Token: "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJtMSJ9.c2ln"},
	}, a.createCredential)
	register(a, operation{
		method: http.MethodGet, path: "/credentials/{id}", id: "readCredential", action: action{name: "credential.read", audited: true}, tag: "credentials",
		summary: "Read a credential", description: "Reading it is recorded in the audit log.",
		missing: errNoCredential, answer: exampleCredential,
	}, a.readCredential)
	register(a, operation{
		method: http.MethodPost, path: "/credentials/{id}/rotate", id: "rotateCredential", action: action{name: "credential.rotate"}, tag: "credentials",
		summary: "Replace a credential", description: "Makes a secret or a bootstrap credential with the name, the network and the length of life of the one there is, which ends after the overlap: put the new one in place meanwhile. Tokens got with the old one are good until they expire. Of one service, kind and name two can be good at once: a third is refused.",
		status: http.StatusCreated, missing: errNoCredential, errors: []int{http.StatusConflict},
		request: map[string]any{"overlapSeconds": 3600},
		answer:  RotatedCredential{IssuedCredential{Credential: exampleSecret, Secret: "wws_m3mZ0qk5bXc8Zt3m8q1y2v4o7n6t9u5s8r1w4x7z0a3"}, exampleSecret},
	}, a.rotateCredential)
	register(a, operation{
		method: http.MethodPost, path: "/credentials/{id}/revoke", id: "revokeCredential", action: action{name: "credential.revoke"}, tag: "credentials",
		summary: "Revoke a credential", description: "It is refused from the next request on. Tokens already issued with it, and those exchanged for them, are refused by introspection at once and by followers of the deny-list within a second; who only checks signatures takes them until they expire. Revoking it again changes nothing.",
		missing: errNoCredential, errors: []int{http.StatusConflict}, answer: exampleCredential,
	}, a.revokeCredential)
}

func (a *handlers) listCredentials(ctx context.Context, p Page, service directory.UID, filter string) (*answered[CredentialList], error) {
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

func (a *handlers) createCredential(ctx context.Context, in *struct {
	ByName
	Body *NewCredential
},
) (*created[IssuedCredential], error) {
	body := NewCredential{}
	if in.Body != nil {
		body = *in.Body
	}
	n := directory.NewCredential{Kind: directory.Kind(body.Kind), Name: body.Name, TTL: time.Duration(body.TTLSeconds) * time.Second}
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
	issued := a.issued(ctx, c, in.Name, secret, warning)
	return &created[IssuedCredential]{etag(c.Version), prefix + "/credentials/" + c.ID, issued}, nil
}

// issued is the answer that has the secret, under the name of its kind.
func (a *handlers) issued(ctx context.Context, c directory.Credential, service, secret, warning string) IssuedCredential {
	note(ctx, "credential", c.ID, "kind", string(c.Kind), "expires", c.ExpiresAt.UTC().Format(time.RFC3339))
	issued := IssuedCredential{Credential: a.credential(c, service), Warning: warning}
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
	Body *NewRotation
},
) (*created[RotatedCredential], error) {
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
	out := RotatedCredential{a.issued(ctx, fresh, views[0].Service, secret, ""), views[1]}
	return &created[RotatedCredential]{etag(fresh.Version), prefix + "/credentials/" + fresh.ID, out}, nil
}

func (a *handlers) readCredential(ctx context.Context, in *ByCredential) (*versioned[Credential], error) {
	if !isCredentialID(in.ID) {
		return nil, errNoCredential
	}
	c, err := a.Lists.ReadCredential(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return a.oneCredential(ctx, c)
}

func (a *handlers) revokeCredential(ctx context.Context, in *ByCredential) (*versioned[Credential], error) {
	if !isCredentialID(in.ID) {
		return nil, errNoCredential
	}
	c, err := a.Directory.RevokeCredential(ctx, author(ctx), in.ID)
	if err != nil {
		return nil, err
	}
	return a.oneCredential(ctx, c)
}

func (a *handlers) oneCredential(ctx context.Context, c directory.Credential) (*versioned[Credential], error) {
	views, err := named(ctx, a, []directory.Credential{c}, a.viewCredential)
	if err != nil {
		return nil, err
	}
	if len(views) == 0 {
		return nil, errNoCredential
	}
	return &versioned[Credential]{etag(c.Version), views[0]}, nil
}

func (a *handlers) viewCredential(s *directory.Snapshot, c directory.Credential) (Credential, bool) {
	owner, ok := s.ServiceByUID(c.Service)
	if !ok {
		return Credential{}, false
	}
	return a.credential(c, owner.Name), true
}

func (a *handlers) credential(c directory.Credential, service string) Credential {
	v := Credential{
		ID: c.ID, Service: service, Kind: string(c.Kind), Name: c.Name,
		CreatedAt: c.CreatedAt.UTC(), NotBefore: optional(c.NotBefore), ExpiresAt: c.ExpiresAt.UTC(), RevokedAt: optional(c.RevokedAt),
		LastUsedAt: optional(c.LastUsedAt), LastUsedFrom: c.LastUsedFrom, Status: "active",
	}
	if why := c.Good(a.Now()); why != "" {
		v.Status = why
	}
	v.identify(c)
	if c.CIDR.IsValid() {
		v.CIDR = c.CIDR.String()
	}
	return v
}

// identify tells people which key, certificate or name it is. What is stored of a secret is
// nobody's business.
func (v *Credential) identify(c directory.Credential) {
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

// isCredentialID says whether id is 32 hexadecimal digits, as all are.
func isCredentialID(id string) bool {
	for _, c := range []byte(id) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(id) == 32
}
