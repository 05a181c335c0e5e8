package keysets

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// signer returns one for the key with this id, always the same.
func signer(t testing.TB, id string, alg jose.Algorithm) *jose.Signer {
	t.Helper()
	made, _ := signers.LoadOrStore(id+string(alg), sync.OnceValues(func() (*jose.Signer, error) {
		key, err := jose.GenerateKey(alg)
		if err != nil {
			return nil, err
		}
		return jose.NewSigner(id, alg, key)
	}))
	s, err := made.(func() (*jose.Signer, error))()
	must(t, err)
	return s
}

var signers sync.Map

func keySet(signers ...*jose.Signer) string {
	var keys []jose.PublicKey
	for _, s := range signers {
		keys = append(keys, s.Public())
	}
	return string(jose.NewKeySet(keys...).JSON())
}

func signed(t testing.TB, s *jose.Signer) *jose.Token {
	t.Helper()
	text, err := s.Sign("", []byte(`{"iss":"x"}`))
	must(t, err)
	token, err := jose.Parse(text)
	must(t, err)
	return token
}

// server is an issuer that answers each path in its own way, and counts the requests for each.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	pages map[string]http.HandlerFunc
	asked atomic.Int32
}

func newServer(t testing.TB) *server { return newServerAt(t, "127.0.0.1") }

func newServerAt(t testing.TB, address string) *server {
	s := &server{pages: map[string]http.HandlerFunc{}}
	s.Server = httptest.NewUnstartedServer(s)
	must(t, s.Listener.Close())
	s.Listener = listenAt(t, address)
	s.Start()
	t.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.asked.Add(1)
	s.mu.Lock()
	page := s.pages[r.URL.Path]
	s.mu.Unlock()
	if page == nil {
		http.NotFound(w, r)
		return
	}
	page(w, r)
}

func (s *server) page(path string, h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pages[path] = h
}

func (s *server) publish(path, text string) { s.page(path, jsonText(text)) }

func jsonText(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, text)
	}
}

const discoveryPath = "/.well-known/openid-configuration"

// discoverable publishes a discovery document.
func (s *server) discoverable(issuer, keys string) {
	s.publish(discoveryPath, fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q,"response_types_supported":["id_token"]}`, issuer, keys))
}

// platform is a source at this URL.
func platform(url string) *Source {
	return &Source{ID: "trust_1", Kind: Platform, Issuer: "https://issuer.test", URL: url, Algorithms: jose.PlatformAlgorithms()}
}

var start = time.Unix(1_800_000_000, 0)

func isIn(t testing.TB, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("got %v, want an error with %q", err, w)
		}
	}
}
