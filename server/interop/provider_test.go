package interop

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/jose"
)

// provider is npm oidc-provider: an issuer of which Watchword knows nothing but its URL.
type provider struct {
	issuer, address, keys, secret string
	stop                          func()
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	installed(t)
	address := freeAddress(t)
	p := &provider{issuer: "http://" + address, address: address, keys: filepath.Join(t.TempDir(), "keys.json"), secret: rand.Text()}
	p.newKey(t)
	p.start(t)
	return p
}

func (p *provider) start(t *testing.T) {
	t.Helper()
	_, port, _ := strings.Cut(p.address, ":")
	p.stop = daemon(t, []string{"JOB_SECRET=" + p.secret}, p.address, "node", filepath.Join("node", "oidc-provider.mjs"), port, p.keys)
}

// newKey replaces the key of the provider.
func (p *provider) newKey(t *testing.T) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	id, err := jose.Thumbprint(key.Public())
	must(t, err)
	jwk, err := jose.PrivateJWK(id, jose.RS256, key)
	must(t, err)
	must(t, os.WriteFile(p.keys, []byte(`{"keys":[`+string(jwk)+`]}`), 0o600))
}

// token is what a job of the provider gets for an audience.
func (p *provider) token(t *testing.T, audience string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.issuer+"/token",
		strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "resource": {audience}}.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("job-7f3a", p.secret)
	status, body := answerOf(t, http.DefaultClient, r)
	var got struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("oidc-provider: %d %s", status, body)
	}
	return got.Token
}

// FED-001, FED-003. An issuer that publishes its keys needs no more than its URL: the server discovers the keys, goes on
// while the issuer is away, and follows a rotation.
func TestAnyIssuerThatPublishesItsKeysIsTrustedByItsURL(t *testing.T) {
	p := startProvider(t)
	o := startOAuth(t, "WATCHWORD_OAUTH_JWKS_NETWORKS=127.0.0.0/8")
	o.watchword(t, nil, "", "trust", "add", "idp", "--issuer", p.issuer)
	token := p.token(t, o.issuer)
	o.watchword(t, nil, token, "service", "create", "m7", "--from-token", "--yes")
	if out := o.watchword(t, nil, "", "credential", "list", "m7"); !strings.Contains(out, "job-7f3a") {
		t.Errorf("credential list does not say whom the credential is for:\n%s", out)
	}
	o.watchword(t, nil, "", "allow", "m7", "m2")
	o.joins(t, token, "m7")
	o.refuses(t, "for another audience", p.token(t, "https://other.test/"))

	p.stop() // the issuer is away
	o.joins(t, token, "m7")

	p.newKey(t)
	p.start(t)
	// Another address of the keys has them fetched at once. Without it, they are fetched again when a token names an
	// unknown key, which is half a minute after the last time at the earliest.
	o.watchword(t, nil, "", "trust", "update", "idp", "--jwks-uri", p.issuer+"/jwks")
	o.joins(t, p.token(t, o.issuer), "m7")
	o.refuses(t, "signed with the key that was replaced", token)
}
