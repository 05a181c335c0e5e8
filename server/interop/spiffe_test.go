//go:build unix

package interop

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/api"
)

// trusts adds a trust of a trust domain.
func (o *oauth) trusts(t *testing.T, name, domain string, flags ...string) {
	t.Helper()
	o.run(t, append([]string{"trust", "add", name, "--preset", "spiffe", "--issuer", "spiffe://" + domain}, flags...)...)
}

// file writes a text to a file.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

// workload makes a service that may call m2, and whose only credential is a SPIFFE ID.
func (o *oauth) workload(t *testing.T, name, trust, id string) {
	t.Helper()
	o.run(t, "service", "create", name)
	o.run(t, "allow", name, "m2", "--scope", "read")
	o.run(t, "credential", "create", name, "--kind", "workload", "--trust", trust, "--claim", "sub="+id)
}

// x509 asks for a token with an X.509-SVID, and returns the service that it proved, or "" if it was refused.
func (o *oauth) x509(t *testing.T, s *spire, path, clientID string) (service string) {
	t.Helper()
	chain, key := s.x509(t, path)
	pair, err := tls.LoadX509KeyPair(chain, key)
	must(t, err)
	transport := o.http.Transport.(*http.Transport).Clone()
	transport.TLSClientConfig.Certificates = []tls.Certificate{pair}
	defer transport.CloseIdleConnections()
	form := url.Values{"grant_type": {"client_credentials"}, "resource": {m2URL}, "client_id": {clientID}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, o.issuer+"/oauth2/token", strings.NewReader(form.Encode()))
	must(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a := o.ask(t, &http.Client{Transport: transport}, r)
	if a.status == http.StatusUnauthorized {
		return ""
	}
	var got tokenAnswer
	if err := json.Unmarshal([]byte(a.body), &got); err != nil || a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	_, claims := parts(t, got.AccessToken)
	if bound, _ := claims["cnf"].(map[string]any); bound["x5t#S256"] == nil || claims["exp"].(float64) > float64(certificateOf(t, chain).NotAfter.Unix()) {
		t.Errorf("the token is not bound to the X.509-SVID, or outlives it: %v", claims)
	}
	return claims["sub"].(string)
}

func certificateOf(t *testing.T, file string) *x509.Certificate {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	block, _ := pem.Decode(text)
	if block == nil {
		t.Fatalf("%s has no certificate", file)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return cert
}

// proves wants both SVIDs of a workload to prove a service, or to be refused if it is empty.
func (o *oauth) proves(t *testing.T, what string, s *spire, path, service string) {
	t.Helper()
	svid := s.jwt(t, path, o.issuer)
	if service != "" {
		o.joins(t, svid, service)
	} else {
		o.refuses(t, what, svid)
	}
	if got := o.x509(t, s, path, s.id(path)); got != service {
		t.Errorf("%s: the X.509-SVID of %s proves %q, want %q", what, path, got, service)
	}
}

// FED-001, FED-003, FED-005: the exact SPIFFE ID, or the segments below a path, prove a service, and nothing else does.
func TestSVIDsOfSPIREProveServices(t *testing.T) {
	t.Parallel() // it waits, most of the time
	o := startOAuth(t)
	s := startSPIRE(t, "example.org")
	o.trusts(t, "example", s.domain, "--jwks-file", file(t, s.bundle(t)))
	o.workload(t, "exact", "example", s.id("/shop/exact"))
	o.workload(t, "below", "example", s.id("/batch/"))
	proves := map[string]string{
		"/shop/exact": "exact", "/batch/7": "below", "/batch/7/a": "below",
		"/shop/exact/a": "", "/shop/exactly": "", "/shop": "", "/batch": "", "/batches/7": "", "/Batch/7": "",
	}
	s.register(t, slices.Collect(maps.Keys(proves))...)
	for path, service := range proves {
		o.proves(t, path, s, path, service)
		o.refuses(t, "another audience", s.jwt(t, path, "https://other.example.com"))
	}
	for _, clientID := range []string{s.id("/batch/7"), "exact", "below"} {
		if got := o.x509(t, s, "/shop/exact", clientID); got != "" {
			t.Errorf("the X.509-SVID of /shop/exact as %s proves %q", clientID, got)
		}
	}
}

// A trust domain is vouched for by its own keys, and by those of no other trust.
func TestTrustDomainsAreNeverMerged(t *testing.T) {
	t.Parallel()
	o := startOAuth(t)
	s, other, impostor := startSPIRE(t, "example.org"), startSPIRE(t, "other.example"), startSPIRE(t, "example.org")
	const path = "/shop/m1"
	for _, s := range []*spire{s, other, impostor} {
		s.register(t, path)
	}
	// The impostor has the name of the one and the keys of the other.
	o.trusts(t, "example", s.domain, "--jwks-file", file(t, s.bundle(t)))
	o.trusts(t, "other", other.domain, "--jwks-file", file(t, impostor.bundle(t)))
	o.workload(t, "here", "example", s.id(path))
	o.workload(t, "there", "other", other.id(path))
	o.proves(t, "the trust domain", s, path, "here")
	o.proves(t, "keys of another trust", impostor, path, "")
	o.proves(t, "a trust with keys of others", other, path, "")

	update := func(bundle string) {
		t.Helper()
		o.run(t, "trust", "keys", "other", "--jwks-file", file(t, bundle))
	}
	update(other.bundle(t))
	o.proves(t, "the bundle was corrected", other, path, "there")
	o.proves(t, "keys of no trust", impostor, path, "")
	update(`{"keys":[]}`)
	o.proves(t, "an empty bundle", other, path, "")
	o.proves(t, "the trust domain, still", s, path, "here")
}

// The keys of a trust domain change, and the server reads so at the bundle endpoint, in both profiles of SPIFFE
// Federation, sections 5.2.1 and 5.2.2.
func TestKeysOfATrustDomainAreFollowed(t *testing.T) {
	t.Parallel()
	web := newAuthority(t)
	web.server(t)
	for name, test := range map[string]struct {
		profile string
		flags   func(*testing.T, *spire) []string
	}{
		"https_spiffe": {`profile "https_spiffe" {}`, func(t *testing.T, s *spire) []string {
			return []string{"--jwks-file", file(t, s.bundle(t)), "--endpoint-id", s.id("/spire/server")}
		}},
		"https_web": {
			`profile "https_web" { serving_cert_file { cert_file_path = "` + web.file("server") + `", key_file_path = "` + web.file("server-key") + `", file_sync_interval = "1h" } }`,
			func(*testing.T, *spire) []string { return nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := startOAuth(t, "WATCHWORD_OAUTH_JWKS_NETWORKS=127.0.0.0/8", "SSL_CERT_FILE="+web.file("authority"))
			s := startSPIREWith(t, "example.org", test.profile)
			s.register(t, "/m1")
			o.trusts(t, "example", s.domain, append(test.flags(t, s), "--jwks-uri", s.bundles)...)
			o.workload(t, "here", "example", s.id("/m1"))
			svid := func() string { return s.jwt(t, "/m1", o.issuer) }
			o.joins(t, svid(), "here")
			// rotate has SPIRE sign with another key, and revokes the one before. The server learns so from a JWT-SVID
			// with an unknown kid, for which it reads the bundle, at most once in 30 seconds.
			rotate := func(old, current string) {
				t.Helper()
				before := svid()
				s.key(t, "jwt", "activate", current)
				s.key(t, "jwt", "taint", old)
				var after string
				until(t, "a JWT-SVID of the new key", func() (string, bool) {
					after = svid()
					header, _ := parts(t, after)
					return fmt.Sprint(header["kid"]), header["kid"] == current
				})
				s.key(t, "jwt", "revoke", old)
				until(t, "the new key", func() (string, bool) {
					a := o.present(t, asSVID, after)
					return a.body, a.status == http.StatusOK
				})
				o.joins(t, after, "here")
				o.refuses(t, "the revoked key", before)
			}
			oldAuthority, authority := s.prepare(t, "x509")
			rotate(s.prepare(t, "jwt")) // the server reads both new keys at once

			// Now the authority of X.509-SVIDs changes, among them that of the bundle endpoint with the profile https_spiffe.
			s.key(t, "x509", "activate", authority)
			s.key(t, "x509", "taint", oldAuthority)
			until(t, "an X.509-SVID of the new authority", func() (string, bool) {
				chain, _ := s.x509(t, "/m1")
				got := hex.EncodeToString(certificateOf(t, chain).AuthorityKeyId)
				return got, got == authority
			})
			o.proves(t, "the new authority", s, "/m1", "here")
			s.key(t, "x509", "revoke", oldAuthority)
			rotate(s.prepare(t, "jwt"))
		})
	}
}

// A program with package spiffeauth has nothing but the address of the agent.
func TestSpiffeauthGetsTokensWithoutASecret(t *testing.T) {
	t.Parallel()
	o := startOAuth(t)
	s := startSPIRE(t, "example.org")
	s.register(t, "/m1", "/other")
	o.trusts(t, "example", s.domain, "--jwks-file", file(t, s.bundle(t)))
	o.workload(t, "here", "example", s.id("/m1"))
	env := []string{"WATCHWORD_URL=" + o.issuer, "SSL_CERT_FILE=" + o.authority.file("authority"), "SPIFFE_ENDPOINT_SOCKET=unix://" + s.sockets.agent}
	type answer struct {
		AccessToken string `json:"access_token"`
		Error       string
	}
	ask := func(p *process, method string) (a answer) {
		t.Helper()
		p.write(t, map[string]string{"method": method, "target": m2URL})
		p.read(t, &a)
		return a
	}
	program := spiffeWorkload(t)
	p := start(t, append(env, "SPIFFE_ID="+s.id("/m1")), program)
	methods := []string{api.WorkloadJWT, api.SPIFFEJWT, api.SPIFFEX509}
	for _, method := range methods {
		a := ask(p, method)
		if a.AccessToken == "" {
			t.Errorf("%s: %s", method, a.Error)
			continue
		}
		if _, claims := parts(t, a.AccessToken); claims["sub"] != "here" || claims["aud"] != m2URL || (claims["cnf"] != nil) != (method == api.SPIFFEX509) {
			t.Errorf("%s: %v", method, claims)
		}
	}
	for id, want := range map[string]string{
		s.id("/stranger"):      "register this workload with the agent's server",
		"spiffe://other.org/a": "register this workload with the agent's server",
	} {
		p := start(t, append(env, "SPIFFE_ID="+id), program)
		for _, method := range methods {
			if a := ask(p, method); a.AccessToken != "" || !strings.Contains(a.Error, want) || !strings.Contains(a.Error, id) {
				t.Errorf("%s as %s: %+v", method, id, a)
			}
		}
	}
	s.stopAgent()
	for _, method := range methods {
		if a := ask(p, method); a.AccessToken != "" || !strings.Contains(a.Error, "start the SPIFFE agent, or correct SPIFFE_ENDPOINT_SOCKET") {
			t.Errorf("%s without the agent: %+v", method, a)
		}
	}
}

// spiffeWorkload builds the workload of the module spiffeauth.
func spiffeWorkload(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "workload")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", file, "./internal/workload")
	cmd.Dir = filepath.Join("..", "..", "spiffeauth")
	cmd.Env = append(os.Environ(), "GOWORK=off") // a module of its own
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return file
}
