package clientauth_test

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/netip"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

const (
	issuer        = "https://as.test"
	tokenEndpoint = issuer + "/oauth2/token"
)

var (
	pepper = []byte("a pepper of thirty-two bytes 123")
	home   = netip.MustParseAddr("192.0.2.1")
	away   = netip.MustParseAddr("198.51.100.1")
)

// bench is an authenticator, a directory it is asked about, and a clock.
type bench struct {
	t     testing.TB
	auth  *clientauth.Authenticator
	state directory.State
	now   time.Time
}

func newBench(t testing.TB, edit ...func(*clientauth.Options)) *bench {
	o := clientauth.Options{
		PlainIssuer: "auth-server", Issuer: issuer, TokenEndpoint: tokenEndpoint, Pepper: pepper,
		Credentials: func() *jose.KeySet { return nil }, Access: func() *jose.KeySet { return nil },
	}
	for _, e := range edit {
		e(&o)
	}
	return &bench{t: t, auth: clientauth.New(o), now: time.Unix(1_800_000_000, 0)}
}

// service adds a service of that name, with credentials.
func (b *bench) service(name string, all ...directory.Credential) directory.UID {
	s := directory.Service{UID: directory.UID{byte(len(b.state.Services) + 1)}, Name: name, Version: 1}
	b.state.Services = append(b.state.Services, s)
	for _, c := range all {
		b.credential(s.UID, c)
	}
	return s.UID
}

func (b *bench) edit(name string, edit func(*directory.Service)) {
	for i := range b.state.Services {
		if b.state.Services[i].Name == name {
			edit(&b.state.Services[i])
		}
	}
}

// credential adds c to a service; it is good for an hour unless it says otherwise.
func (b *bench) credential(of directory.UID, c directory.Credential) {
	c.Service = of
	if c.ID == "" {
		c.ID = directory.RandomID()
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = b.now.Add(time.Hour)
	}
	b.state.Credentials = append(b.state.Credentials, c)
}

func (b *bench) ask(p clientauth.Presented) (clientauth.Identity, *clientauth.Failure) {
	if !p.Address.IsValid() {
		p.Address = home
	}
	return b.auth.Authenticate(b.t.Context(), &p, directory.NewSnapshot(&b.state, time.Hour), b.now)
}

// want checks who p proves.
func (b *bench) want(name string, p clientauth.Presented, service, credential string) clientauth.Identity {
	b.t.Helper()
	id, failure := b.ask(p)
	switch {
	case failure != nil:
		b.t.Errorf("%s: refused: %s", name, failure.Reason)
	case id.Service.Name != service || credential != "" && id.CredentialID != credential:
		b.t.Errorf("%s: is %s by %s, want %s by %s", name, id.Service.Name, id.CredentialID, service, credential)
	}
	return id
}

// wantNot checks that p proves nothing, and for which reason.
func (b *bench) wantNot(name string, p clientauth.Presented, kind clientauth.FailureKind, reason string) *clientauth.Failure {
	b.t.Helper()
	id, failure := b.ask(p)
	if failure == nil {
		b.t.Errorf("%s: is %s, want it refused: %s", name, id.Service.Name, reason)
		return &clientauth.Failure{}
	}
	if failure.Kind != kind || failure.Reason != reason {
		b.t.Errorf("%s: got kind %d, %s; want kind %d, %s", name, failure.Kind, failure.Reason, kind, reason)
	}
	return failure
}

func newSigner(t testing.TB, id string, alg jose.Algorithm) *jose.Signer {
	t.Helper()
	key, err := jose.GenerateKey(alg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(id, alg, key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func publicJWK(t testing.TB, s *jose.Signer) string {
	t.Helper()
	b, err := s.Public().JWK()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func keyCredential(t testing.TB, s *jose.Signer) directory.Credential {
	return directory.Credential{ID: "credential of " + s.ID(), Kind: directory.KindKey, Material: publicJWK(t, s)}
}

type claims map[string]any

// claimsOf are good ones of service, but for what edit says; nil takes a claim out.
func (b *bench) claimsOf(service string, edit claims) string {
	c := claims{
		"iss": service, "sub": service, "aud": issuer, "iat": b.now.Unix(), "exp": b.now.Add(time.Minute).Unix(), "jti": rand.Text(),
	}
	maps.Copy(c, edit)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	text, err := json.Marshal(c)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *bench) sign(s *jose.Signer, typ, payload string) clientauth.Presented {
	b.t.Helper()
	token, err := s.Sign(typ, []byte(payload))
	if err != nil {
		b.t.Fatal(err)
	}
	return clientauth.Presented{Assertion: token}
}
