package client

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// front answers the requests for metadata with body, and counts them.
type front struct {
	http.RoundTripper
	status   int
	body     string
	asked    []string
	location string
	down     bool
}

func (f *front) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, "/.well-known/") {
		return oauthFront{f.RoundTripper}.RoundTrip(r)
	}
	f.asked = append(f.asked, r.Method+" "+r.URL.String())
	if f.down {
		return nil, errors.New("connection refused")
	}
	h := http.Header{}
	if f.location != "" {
		h.Set("Location", f.location)
	}
	return &http.Response{StatusCode: f.status, Header: h, Body: io.NopCloser(strings.NewReader(f.body)), Request: r}, nil
}

func metadataOf(issuer, endpoint string) string {
	return fmt.Sprintf(`{"issuer":%q,"token_endpoint":%q}`, issuer, endpoint)
}

func TestMetadataAreWhereRFC8414Says(t *testing.T) {
	for server, want := range map[string]string{
		"https://as.example":      "https://as.example/.well-known/oauth-authorization-server",
		"https://as.example/":     "https://as.example/.well-known/oauth-authorization-server",
		"https://as.example/a/b":  "https://as.example/.well-known/oauth-authorization-server/a/b",
		"https://as.example/a/":   "https://as.example/.well-known/oauth-authorization-server/a",
		"https://as.example/a%2F": "https://as.example/.well-known/oauth-authorization-server/a%2F",
		"http://localhost:8000":   "http://localhost:8000/.well-known/oauth-authorization-server",
	} {
		f := &front{RoundTripper: &fakeServer{ttl: time.Hour}, status: 200, body: metadataOf(server, "http://localhost:8000/oauth2/token")}
		c := newClient(t, f, func(cfg *Config) {
			cfg.Server, cfg.Auth, cfg.Credential = server, BootstrapAssertion(cfg.Credential), nil
		})
		mustToken(t, c.TokenSource("m2"))
		mustToken(t, c.TokenSource("m3"))
		if fmt.Sprint(f.asked) != fmt.Sprint([]string{"GET " + want}) {
			t.Errorf("%s: asked %q, want %s once", server, f.asked, want)
		}
	}
}

// RFC 8414, section 3.3, and SCL-008 for the metadata: nothing of it is followed elsewhere.
func TestMetadataThatWillNotDo(t *testing.T) {
	const server, endpoint = "http://localhost:8000", "http://localhost:8000/oauth2/token"
	for name, c := range map[string]struct {
		front
		want string
	}{
		"another issuer":                  {front{status: 200, body: metadataOf("http://localhost:8000/x", endpoint)}, `for issuer "http://localhost:8000/x", not for "http://localhost:8000"`},
		"issuer's slash":                  {front{status: 200, body: metadataOf(server+"/", endpoint)}, "configure that URL"},
		"no issuer":                       {front{status: 200, body: `{"token_endpoint":"` + endpoint + `"}`}, "for issuer"},
		"two issuers":                     {front{status: 200, body: `{"issuer":"x","issuer":"` + server + `","token_endpoint":"` + endpoint + `"}`}, "well-formed"},
		"no endpoint":                     {front{status: 200, body: `{"issuer":"` + server + `"}`}, "no token_endpoint"},
		"endpoint elsewhere in the clear": {front{status: 200, body: metadataOf(server, "http://as.example/t")}, "in the clear"},
		"endpoint with user":              {front{status: 200, body: metadataOf(server, "https://u:hunter2@as.example/t")}, "must have no user"},
		"endpoint relative":               {front{status: 200, body: metadataOf(server, "/oauth2/token")}, "not an http or https URL"},
		"not JSON":                        {front{status: 200, body: "<html>"}, "well-formed"},
		"not found":                       {front{status: 404}, "answered 404 to the request for its metadata"},
		"redirect":                        {front{status: 302, location: "https://evil.example/", body: metadataOf(server, endpoint)}, "answered 302"},
	} {
		s := &fakeServer{ttl: time.Hour}
		c.RoundTripper = s
		cl := newClient(t, &c.front, func(cfg *Config) { cfg.Auth, cfg.Credential = BootstrapAssertion(cfg.Credential), nil })
		_, err := cl.TokenSource("m2").Token(t.Context())
		if _, ok := errors.AsType[*UnavailableError](err); !ok || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v, want %q in it", name, err, c.want)
		}
		if len(s.requests()) != 0 || len(c.asked) != 1 {
			t.Errorf("%s: %d requests for a token, %q for metadata", name, len(s.requests()), c.asked)
		}
	}
}

// The endpoint is looked up again each hour, and the last one known is used while that fails.
func TestMetadataAreKeptForAnHourAndLongerThanTheServerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &front{RoundTripper: &fakeServer{ttl: time.Minute}, status: 200, body: metadataOf("http://localhost:8000", "http://localhost:8000/oauth2/token")}
		c := newClient(t, f, func(cfg *Config) { cfg.Auth, cfg.Credential = BootstrapAssertion(cfg.Credential), nil })
		for i := range 5 {
			f.down = i > 0
			mustToken(t, c.TokenSource("m2"))
			<-time.After(61 * time.Minute)
		}
		if len(f.asked) != 5 {
			t.Errorf("%d requests for metadata in five hours, want 5", len(f.asked))
		}
	})
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(metadataOf("http://localhost:8000", "https://as.example/t?x=1")), false)
	f.Add([]byte(`{"issuer":"http://localhost:8000","token_endpoint":"https://a/","mtls_endpoint_aliases":{"token_endpoint":"https://b/"}}`), true)
	f.Fuzz(func(t *testing.T, body []byte, mtls bool) {
		d := &discovery{issuer: "http://localhost:8000", mtls: mtls}
		endpoint, err := d.parse(body)
		if err == nil && !strings.HasPrefix(endpoint, "https://") && !strings.HasPrefix(endpoint, "http://") {
			t.Errorf("endpoint %q", endpoint)
		}
	})
}
