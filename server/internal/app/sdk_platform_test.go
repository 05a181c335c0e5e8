package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/directory"
)

const (
	platformAtAccessToken = "a platform token at /accesstoken"
	svidID                = "spiffe://example.org/ns/shop/sa/m1"
)

// signingPlatform signs tokens with the claims that are recorded for a platform in ../trust/testdata. It is a
// client.PlatformTokenSource, and a trust of the server has its key.
type signingPlatform struct {
	t      testing.TB
	signer *jose.Signer
	typ    string
	claims map[string]any

	mu     sync.Mutex
	issued []string
}

// platform makes a platform, and the trust of that name and preset, which edit may change.
func (w *sdkWorld) platform(preset, name string, edit func(*api.TrustSettings)) *signingPlatform {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "trust", "testdata", preset+".json"))
	must(w.t, err)
	var recorded struct {
		Alg    jose.Algorithm `json:"alg"`
		Typ    string         `json:"typ"`
		Issuer string         `json:"issuer"`
		Claims map[string]any `json:"claims"`
	}
	must(w.t, json.Unmarshal(text, &recorded))
	p := &signingPlatform{t: w.t, typ: recorded.Typ, claims: recorded.Claims}
	p.signer, err = jose.GenerateSigner(recorded.Alg)
	must(w.t, err)
	settings := api.TrustSettings{Preset: preset, Issuer: recorded.Issuer, JWKS: string(jose.NewKeySet(p.signer.Public()).JSON())}
	if preset == "spiffe" {
		settings.JWKS = strings.Replace(settings.JWKS, `"use":"sig"`, `"use":"jwt-svid"`, 1)
	}
	if edit != nil {
		edit(&settings)
	}
	_, err = w.s.directory.AddTrust(w.t.Context(), operator, name, settings)
	must(w.t, err)
	return p
}

// workload gives a service a credential.
func (w *sdkWorld) workload(service, trust string, claims map[string]string) {
	w.t.Helper()
	_, err := w.s.directory.AddCredential(w.t.Context(), operator, service, directory.NewCredential{Kind: directory.KindWorkload, Trust: trust, Claims: claims})
	must(w.t, err)
}

// Token returns another token each time.
func (p *signingPlatform) Token(_ context.Context, audience string) (string, error) {
	return p.token(audience, nil), nil
}

func (p *signingPlatform) token(audience string, edit map[string]any) string {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	claims := maps.Clone(p.claims)
	maps.Copy(claims, map[string]any{
		"aud": audience, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "jti": fmt.Sprint(directory.RandomID()),
	})
	maps.Copy(claims, edit)
	payload, err := json.Marshal(claims)
	must(p.t, err)
	token, err := p.signer.Sign(p.typ, payload)
	must(p.t, err)
	p.issued = append(p.issued, audience)
	return token
}

// fromEnvironment makes a client as a program does that has only the variables, and that reaches the server.
func (w *sdkWorld) fromEnvironment() (*client.Client, error) {
	w.t.Helper()
	c, err := client.FromEnvironment(w.t.Context(), func(cfg *client.Config) {
		cfg.HTTPClient, cfg.Logger = &http.Client{Transport: w.transport()}, slog.New(slog.DiscardHandler)
	})
	if err == nil {
		w.t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

// The file is read for each request to the server. If it is gone, the client fails with its name, and uses neither the
// credential that the environment names too nor the token that it read before.
func TestSDKReadsTheTokenFileAnewAndFallsBackToNothing(t *testing.T) {
	w := newSDKWorld(t, nil)
	w.rule("m2", "m3", directory.NewRule{})
	w.rule("m1", "m3", directory.NewRule{})
	const other = "00000000-1111-2222-3333-444444444444"
	w.workload("m2", "prod", map[string]string{"sub": "system:serviceaccount:shop:m2", "uid": other})
	dir := t.TempDir()
	file, bootstrap := filepath.Join(dir, "token"), filepath.Join(dir, "m1.jwt")
	credential, _ := w.credential("m1")
	write(t, bootstrap, credential)
	t.Setenv("WATCHWORD_URL", w.cfg.Issuer)
	t.Setenv("WATCHWORD_TOKEN_FILE", file)
	t.Setenv("WATCHWORD_CREDENTIAL_FILE", bootstrap)

	write(t, file, w.cluster.token(w.cfg.Issuer, nil)+"\n")
	c, err := w.fromEnvironment()
	must(t, err)
	m2 := w.resource("m2", whoCalls, nil)
	if got := w.call(&http.Client{Transport: c.Transport("m2", w.resourceTransport())}, m2.URL); got != "m1[] dpop=false mtls=false" {
		t.Errorf("the first token: got %s", got)
	}
	// Another service account: the platform writes what it likes, between two calls.
	write(t, file, w.cluster.token(w.cfg.Issuer, map[string]any{
		"sub": "system:serviceaccount:shop:m2", "kubernetes.io": map[string]any{"serviceaccount": map[string]any{"name": "m2", "uid": other}},
	}))
	m3 := w.resource("m3", whoCalls, nil)
	if got := w.call(&http.Client{Transport: c.Transport("m3", w.resourceTransport())}, m3.URL); got != "m2[] dpop=false mtls=false" {
		t.Errorf("a token that replaced it: got %s", got)
	}
	must(t, os.Remove(file))
	_, err = c.TokenSource("m2", "read").Token(t.Context())
	if _, ok := errors.AsType[*client.UnavailableError](err); !ok || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("no file: got %v, want an error that names %s", err, file)
	}
	if c, err := w.fromEnvironment(); c != nil || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), file) {
		t.Errorf("no file at the start: got %v, %v, want an error that names %s", c, err, file)
	}
	// Another kind of file, too, is no reason to use the credential.
	write(t, file, "")
	if _, err := c.TokenSource("m2", "write").Token(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("an empty file: got %v, want an error that names %s", err, file)
	}
}

// FED-008. The issuer of GitHub and the service that answers its jobs cannot run here: this test signs the claims that
// GitHub documents with a key of its own, and answers as the service does. The server accepts each token once, so the
// SDK asks for another one for each of its own requests.
func TestSDKGetsTokensInAJobOfGitHub(t *testing.T) {
	w := newSDKWorld(t, func(cfg *config.Config) { cfg.OAuth.DPoPRequireNonce = true }) // so that there are requests that are sent again
	github := w.platform("github", "github", nil)
	w.workload("m1", "github", map[string]string{"repository_id": "74", "repository_owner_id": "65", "environment": "prod"})
	runner := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer of-the-job" {
			rw.WriteHeader(http.StatusForbidden)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"count": 1, "value": github.token(r.URL.Query().Get("audience"), nil)})
	}))
	defer runner.Close()
	t.Setenv("WATCHWORD_URL", w.cfg.Issuer)
	t.Setenv("WATCHWORD_TOKEN_FILE", "")
	t.Setenv("GITHUB_ACTIONS", "true")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_URL", runner.URL+"/idtoken?api-version=2.0")
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-job")

	for _, dpop := range []*client.DPoP{nil, {}} {
		c, err := client.FromEnvironment(t.Context(), func(cfg *client.Config) {
			cfg.HTTPClient, cfg.Logger, cfg.DPoP = &http.Client{Transport: w.transport()}, slog.New(slog.DiscardHandler), dpop
		})
		must(t, err)
		defer c.Close()
		if want := w.cfg.Issuer + " by workload_jwt with GitHub Actions"; c.String() != want {
			t.Errorf("the client says %q, want %q", c, want)
		}
		for _, scopes := range [][]string{nil, {"read"}} {
			token, err := c.TokenSource("m2", scopes...).Token(t.Context())
			if err != nil {
				t.Errorf("dpop %v, scopes %v: %v", dpop != nil, scopes, err)
			} else if life := time.Until(token.Expires()); life > 5*time.Minute {
				t.Errorf("the token lives for %v, longer than GitHub's", life)
			}
		}
	}
	if n := len(github.issued); n != 5 || slices.ContainsFunc(github.issued, func(audience string) bool { return audience != w.cfg.Issuer }) {
		t.Errorf("GitHub was asked for the audiences %q, want the issuer five times: twice, and twice with one more because of the nonce", github.issued)
	}

	// A token that is used again is refused, which shows that those above were not.
	used := filepath.Join(t.TempDir(), "token")
	write(t, used, github.token(w.cfg.Issuer, nil))
	c := w.sdk(func(cfg *client.Config) { cfg.Auth = client.WorkloadJWT("", client.TokenFile(used)) })
	_, first := c.TokenSource("m2").Token(t.Context())
	_, second := c.TokenSource("m2", "read").Token(t.Context())
	var denied *client.DeniedError
	if first != nil || !errors.As(second, &denied) || denied.Code != "invalid_client" {
		t.Errorf("a token of GitHub, used twice: got %v, then %v; want it to be refused then", first, second)
	}
	// So is that of a job of another environment.
	write(t, used, github.token(w.cfg.Issuer, map[string]any{"environment": "staging"}))
	if _, err := c.TokenSource("m2", "write").Token(t.Context()); !errors.As(err, &denied) || denied.Code != "invalid_client" {
		t.Errorf("another environment: got %v, want a refusal", err)
	}
	// The permission was not given: GitHub refuses, and nothing else proves the job.
	t.Setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-another-job")
	c, err := w.fromEnvironment()
	must(t, err)
	if _, err := c.TokenSource("m2").Token(t.Context()); err == nil || !strings.Contains(err.Error(), "set `permissions: id-token: write`") {
		t.Errorf("no permission: got %v, want what to set", err)
	}
}

// A token that could be that of several services needs WATCHWORD_CLIENT_ID.
func TestSDKNamesTheServiceIfTheTokenCouldBeThatOfSeveral(t *testing.T) {
	w := newSDKWorld(t, nil)
	w.rule("m2", "m3", directory.NewRule{})
	w.workload("m2", "prod", map[string]string{"sub": "system:serviceaccount:shop:m1", "uid": "a087d5a0-e1dd-43ec-93ac-f13d89cd13af"})
	file := filepath.Join(t.TempDir(), "token")
	write(t, file, w.cluster.token(w.cfg.Issuer, nil))
	t.Setenv("WATCHWORD_URL", w.cfg.Issuer)
	t.Setenv("WATCHWORD_TOKEN_FILE", file)
	var denied *client.DeniedError
	c, err := w.fromEnvironment()
	must(t, err)
	if _, err := c.TokenSource("m3").Token(t.Context()); !errors.As(err, &denied) || denied.Code != "invalid_client" {
		t.Errorf("without a name: got %v, want a refusal", err)
	}
	t.Setenv("WATCHWORD_CLIENT_ID", "m2")
	if c, err = w.fromEnvironment(); err == nil {
		_, err = c.TokenSource("m3").Token(t.Context())
	}
	must(t, err)
}
