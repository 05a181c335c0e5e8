//go:build unix

package interop

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// spire is a trust domain of SPIFFE: a SPIRE server, and an agent that gives every process of this user its SVIDs.
type spire struct {
	domain           string
	programs, folder string
	node             string // the SPIFFE ID of the agent
	stopAgent        func()
	sockets          struct{ server, agent string }
	bundles          string // the URL of its bundle endpoint
}

// startSPIRE starts both for one trust domain, on loopback and on sockets. Settings are lines of the block server of
// the server's configuration file.
func startSPIRE(t *testing.T, domain string, settings ...string) *spire {
	t.Helper()
	return startSPIREWith(t, domain, `profile "https_spiffe" {}`, settings...)
}

// startSPIREWith does so with another profile of the bundle endpoint.
func startSPIREWith(t *testing.T, domain, profile string, settings ...string) *spire {
	t.Helper()
	s := &spire{domain: domain, programs: platform(t, "spire"), folder: t.TempDir()}
	t.Log(builtFrom(t, filepath.Join(s.programs, "spire-server")))
	// The path of a socket has at most 107 bytes, and that of a test's folder has the name of the test.
	sockets, err := os.MkdirTemp("", "spire")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(sockets) })
	s.sockets.server, s.sockets.agent = filepath.Join(sockets, "server"), filepath.Join(sockets, "agent")
	address, bundles := freeAddress(t), freeAddress(t)
	s.bundles = "https://" + bundles

	s.daemon(t, "spire-server", s.sockets.server, fmt.Sprintf(`
server {
	trust_domain = %q
	bind_address = "127.0.0.1"
	bind_port    = %q
	socket_path  = %q
	data_dir     = %q
	federation {
		bundle_endpoint {
			address = "127.0.0.1"
			port    = %s
			refresh_hint = "1m"
			%s
		}
	}
	experimental { cache_reload_interval = "100ms" }
	%s
}
plugins {
	DataStore "sql" { plugin_data { database_type = "sqlite3", connection_string = %q } }
	KeyManager "memory" { plugin_data {} }
	NodeAttestor "join_token" { plugin_data {} }
}`, domain, port(address), s.sockets.server, s.folder, port(bundles), profile, strings.Join(settings, "\n"), filepath.Join(s.folder, "datastore.sqlite3")))
	until(t, "the SPIRE server", func() (string, bool) {
		_, err := s.try(t, "spire-server", "healthcheck", "-socketPath", s.sockets.server)
		return fmt.Sprint(err), err == nil
	})

	var token struct{ Value string }
	s.ask(t, &token, "token", "generate")
	s.node = "spiffe://" + domain + "/spire/agent/join_token/" + token.Value
	authorities := filepath.Join(s.folder, "bootstrap.pem")
	must(t, os.WriteFile(authorities, []byte(s.run(t, "spire-server", "bundle", "show", "-socketPath", s.sockets.server)), 0o600))
	s.stopAgent = s.daemon(t, "spire-agent", s.sockets.agent, fmt.Sprintf(`
agent {
	trust_domain      = %q
	trust_bundle_path = %q
	server_address    = "127.0.0.1"
	server_port       = %q
	socket_path       = %q
	data_dir          = %q
	join_token        = %q
	experimental { sync_interval = "100ms" }
}
plugins {
	KeyManager "memory" { plugin_data {} }
	NodeAttestor "join_token" { plugin_data {} }
	WorkloadAttestor "unix" { plugin_data {} }
}`, domain, authorities, port(address), s.sockets.agent, filepath.Join(s.folder, "agent"), token.Value))
	return s
}

func (s *spire) daemon(t *testing.T, name, socket, config string) (stop func()) {
	t.Helper()
	file := filepath.Join(s.folder, name+".conf")
	must(t, os.WriteFile(file, []byte(config), 0o600))
	return daemon(t, nil, socket, filepath.Join(s.programs, name), "run", "-config", file)
}

func (s *spire) try(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	return command(t, nil, filepath.Join(s.programs, name), args...)
}

// run runs a command of SPIRE and returns what it prints.
func (s *spire) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := s.try(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

// ask runs a command of the server and reads its answer.
func (s *spire) ask(t *testing.T, answer any, args ...string) {
	t.Helper()
	out := s.run(t, "spire-server", append(args, "-socketPath", s.sockets.server, "-output", "json")...)
	if err := json.Unmarshal([]byte(out), answer); err != nil {
		t.Fatalf("spire-server %v: %v\n%s", args, err, out)
	}
}

// id returns the SPIFFE ID of a path.
func (s *spire) id(path string) string { return "spiffe://" + s.domain + path }

// register lets every process of this user be the workloads with these paths, and waits until the agent knows.
func (s *spire) register(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		s.ask(t, new(any), "entry", "create", "-parentID", s.node, "-spiffeID", s.id(path), "-selector", fmt.Sprint("unix:uid:", os.Getuid()))
	}
	until(t, "the agent", func() (string, bool) { // which has X.509-SVIDs last
		out, err := s.try(t, "spire-agent", s.fetch("x509")...)
		return out, err == nil && !slices.ContainsFunc(paths, func(path string) bool { return !strings.Contains(out, s.id(path)+"\n") })
	})
}

func (s *spire) fetch(kind string, args ...string) []string {
	return append([]string{"api", "fetch", kind, "-socketPath", s.sockets.agent}, args...)
}

// jwt gets a JWT-SVID from the Workload API.
func (s *spire) jwt(t *testing.T, path, audience string) string {
	t.Helper()
	out := s.run(t, "spire-agent", s.fetch("jwt", "-audience", audience, "-spiffeID", s.id(path), "-output", "json")...)
	var answers []struct{ SVIDs []struct{ SVID string } }
	if err := json.Unmarshal([]byte(out), &answers); err != nil || len(answers) == 0 || len(answers[0].SVIDs) != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	return answers[0].SVIDs[0].SVID
}

// x509 gets an X.509-SVID from the Workload API: the files of the chain and of its private key, in PEM.
func (s *spire) x509(t *testing.T, path string) (chain, key string) {
	t.Helper()
	dir := t.TempDir()
	out := s.run(t, "spire-agent", s.fetch("x509", "-write", dir)...)
	i := 0
	for line := range strings.Lines(out) {
		if id, ok := strings.CutPrefix(strings.TrimSpace(line), "SPIFFE ID:"); !ok {
			continue
		} else if strings.TrimSpace(id) == s.id(path) {
			return filepath.Join(dir, fmt.Sprintf("svid.%d.pem", i)), filepath.Join(dir, fmt.Sprintf("svid.%d.key", i))
		}
		i++
	}
	t.Fatalf("the agent has no X.509-SVID of %s: %s", s.id(path), out)
	return "", ""
}

// bundle returns the keys of the trust domain as a SPIFFE bundle, which is a JWK Set.
func (s *spire) bundle(t *testing.T) string {
	t.Helper()
	return s.run(t, "spire-server", "bundle", "show", "-socketPath", s.sockets.server, "-format", "spiffe")
}

// prepare puts a new key into the bundle, of the kind jwt or x509. It returns the id of the key that signs, and that of
// the new one, which does not sign yet.
func (s *spire) prepare(t *testing.T, kind string) (active, prepared string) {
	t.Helper()
	type key struct {
		ID string `json:"authority_id"`
	}
	var answer struct {
		Active   key
		Prepared key `json:"prepared_authority"`
	}
	s.ask(t, &answer, "localauthority", kind, "show")
	s.ask(t, &answer, "localauthority", kind, "prepare")
	return answer.Active.ID, answer.Prepared.ID
}

// key changes the state of a key: activate has it sign, taint has the agents withdraw what it signed, revoke takes it out
// of the bundle.
func (s *spire) key(t *testing.T, kind, change, id string) {
	t.Helper()
	s.ask(t, new(any), "localauthority", kind, change, "-authorityID", id)
}

// bundleKey is a key of a SPIFFE bundle (SPIFFE Trust Domain and Bundle, section 4).
type bundleKey struct {
	Use, Kid, Alg, Kty string
	X5c                [][]byte
}

func bundleKeys(t *testing.T, bundle string) (jwt []string, authorities *x509.CertPool) {
	t.Helper()
	var set struct{ Keys []bundleKey }
	if err := json.Unmarshal([]byte(bundle), &set); err != nil {
		t.Fatalf("%v: %s", err, bundle)
	}
	authorities = x509.NewCertPool()
	for _, k := range set.Keys {
		switch {
		case k.Use == "jwt-svid" && k.Kid != "" && len(k.X5c) == 0 && k.Alg == "":
			jwt = append(jwt, k.Kid)
		case k.Use == "x509-svid" && k.Kid == "" && len(k.X5c) == 1 && k.Alg == "":
			cert, err := x509.ParseCertificate(k.X5c[0])
			must(t, err)
			authorities.AddCert(cert)
		default:
			t.Errorf("a bundle has the key %+v", k)
		}
	}
	return jwt, authorities
}

// What the preset spiffe relies on, without a server of ours: what a JWT-SVID and a bundle of SPIRE contain.
func TestWhatAJWTSVIDOfSPIREContains(t *testing.T) {
	t.Parallel() // it waits, most of the time
	for name, test := range map[string]struct {
		settings string
		alg, iss any
	}{
		"defaults":         {"", "ES256", nil},
		"an issuer, RSA":   {"jwt_issuer = \"https://spire.example.org\"\njwt_key_type = \"rsa-2048\"", "RS256", "https://spire.example.org"},
		"P-384, no issuer": {`jwt_key_type = "ec-p384"`, "ES384", nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := startSPIRE(t, "example.org", test.settings)
			s.register(t, "/shop/m1")
			const audience = "https://auth.example.com"
			header, claims := parts(t, s.jwt(t, "/shop/m1", audience))
			keys, _ := bundleKeys(t, s.bundle(t))
			if len(keys) != 1 || !maps.Equal(header, map[string]any{"alg": test.alg, "kid": keys[0], "typ": "JWT"}) {
				t.Errorf("the header is %v, and the keys of the bundle are %v", header, keys)
			}
			// No jti, and the audience is an array.
			iat, exp := claims["iat"].(float64), claims["exp"].(float64)
			want := map[string]any{"sub": "spiffe://example.org/shop/m1", "aud": []any{audience}, "iat": iat, "exp": exp}
			if test.iss != nil {
				want["iss"] = test.iss
			}
			if !reflect.DeepEqual(claims, want) || exp-iat != 300 {
				t.Errorf("the claims are %v, want %v for 300 seconds", claims, want)
			}
		})
	}
}

// The bundle has a key before SPIRE signs with it, and does not have a key that was revoked.
func TestTheBundleOfSPIREFollowsItsKeys(t *testing.T) {
	t.Parallel()
	s := startSPIRE(t, "example.org")
	s.register(t, "/m1")
	check := func(what, signs string, want ...string) {
		t.Helper()
		header, _ := parts(t, s.jwt(t, "/m1", what)) // the agent keeps JWT-SVIDs by their audience
		keys, _ := bundleKeys(t, s.bundle(t))
		slices.Sort(keys)
		slices.Sort(want)
		if header["kid"] != signs || !slices.Equal(keys, want) {
			t.Errorf("%s: %v signs, and the bundle has %v, want %s and %v", what, header["kid"], keys, signs, want)
		}
	}
	old, current := s.prepare(t, "jwt")
	check("prepared", old, old, current)
	s.key(t, "jwt", "activate", current)
	check("activated", current, old, current)
	s.key(t, "jwt", "taint", old)
	s.key(t, "jwt", "revoke", old)
	check("revoked", current, current)
}

// The bundle endpoint has the same bundle, over TLS with an X.509-SVID of the SPIRE server: the profile https_spiffe.
func TestWhatAnX509SVIDAndTheBundleEndpointOfSPIREContain(t *testing.T) {
	t.Parallel()
	s := startSPIRE(t, "example.org")
	s.register(t, "/shop/m1")
	_, authorities := bundleKeys(t, s.bundle(t))
	verify := func(chain []*x509.Certificate, id string) {
		t.Helper()
		leaf, intermediates := chain[0], x509.NewCertPool()
		for _, c := range chain[1:] {
			intermediates.AddCert(c)
		}
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: authorities, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		if len(leaf.URIs) != 1 || leaf.URIs[0].String() != id || leaf.IsCA || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 ||
			leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 || len(leaf.ExtKeyUsage) != 2 || len(leaf.IPAddresses)+len(leaf.EmailAddresses) > 0 {
			t.Errorf("%s: %v, CA %v, usage %b %v", id, leaf.URIs, leaf.IsCA, leaf.KeyUsage, leaf.ExtKeyUsage)
		}
	}
	chain, key := s.x509(t, "/shop/m1")
	pair, err := tls.LoadX509KeyPair(chain, key)
	must(t, err)
	var certs []*x509.Certificate
	for _, der := range pair.Certificate {
		cert, err := x509.ParseCertificate(der)
		must(t, err)
		certs = append(certs, cert)
	}
	verify(certs, "spiffe://example.org/shop/m1")
	if life := certs[0].NotAfter.Sub(certs[0].NotBefore).Round(time.Minute); life != time.Hour || len(certs[0].DNSNames) != 0 {
		t.Errorf("the X.509-SVID is valid for %s, with the names %v", life, certs[0].DNSNames)
	}

	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // verified below
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get(s.bundles)
	must(t, err)
	defer resp.Body.Close()
	verify(resp.TLS.PeerCertificates, "spiffe://example.org/spire/server")
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	var served, shown map[string]any
	must(t, json.Unmarshal(body, &served))
	must(t, json.Unmarshal([]byte(s.bundle(t)), &shown))
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" || !reflect.DeepEqual(served["keys"], shown["keys"]) || served["spiffe_refresh_hint"] != 60.0 {
		t.Errorf("%s, %s: %s", resp.Status, resp.Header.Get("Content-Type"), body)
	}
}

// parts returns the header and the claims of a JWT.
func parts(t *testing.T, token string) (header, claims map[string]any) {
	t.Helper()
	part := strings.Split(token, ".")
	if len(part) != 3 {
		t.Fatalf("%d parts", len(part))
	}
	for i, into := range []*map[string]any{&header, &claims} {
		text, err := base64.RawURLEncoding.DecodeString(part[i])
		must(t, err)
		must(t, json.Unmarshal(text, into))
	}
	return header, claims
}
