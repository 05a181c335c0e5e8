package keysets

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/needs"
)

// listenAt listens at an address of this machine, at any port unless it names one.
func listenAt(t testing.TB, address string) net.Listener {
	t.Helper()
	if !strings.Contains(address, ":") {
		address += ":0"
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		needs.Missing(t, "needs the address "+address+" on this machine, as Linux has it: "+err.Error())
	}
	return l
}

// victim counts the connections to a listener that nobody may connect to.
type victim struct {
	net.Listener
	connections atomic.Int32
}

func (v *victim) Accept() (net.Conn, error) {
	c, err := v.Listener.Accept()
	if err == nil {
		v.connections.Add(1)
	}
	return c, err
}

// newVictim has a server with these keys at 127.0.0.1, and returns its port.
func newVictim(t testing.TB, keys string) (v *victim, port string) {
	v = &victim{Listener: listenAt(t, "127.0.0.1")}
	s := &http.Server{Handler: jsonText(keys)}
	go func() { _ = s.Serve(v) }()
	t.Cleanup(func() { _ = s.Close() })
	_, port, err := net.SplitHostPort(v.Addr().String())
	must(t, err)
	return v, port
}

// names has the default resolver answer from a table until the test ends: names end with a dot, as in DNS.
type names struct {
	mu  sync.Mutex
	all map[string]string
}

func (n *names) set(name, address string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all[name] = address
}

func newNames(t testing.TB, all map[string]string) *names {
	t.Helper()
	n := &names{all: all}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(n.answer(b[:size]), from)
		}
	}()
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = old
		_ = conn.Close()
		<-done
	})
	return n
}

// answer answers one question (RFC 1035, section 4).
func (n *names) answer(query []byte) []byte {
	name, at := "", 12
	for query[at] != 0 {
		size := int(query[at])
		name += string(query[at+1:at+1+size]) + "."
		at += 1 + size
	}
	question := query[12 : at+5]
	n.mu.Lock()
	address, known := n.all[strings.ToLower(name)]
	n.mu.Unlock()
	var records []byte
	count := 0
	if isA := binary.BigEndian.Uint16(query[at+1:]) == 1; known && isA {
		a := netip.MustParseAddr(address).As4()
		records = append([]byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4}, a[:]...)
		count = 1
	}
	flags := []byte{0x81, 0x80}
	if !known {
		flags[1] |= 3 // there is no such name
	}
	b := append([]byte{query[0], query[1]}, flags...)
	b = append(b, 0, 1, 0, byte(count), 0, 0, 0, 0)
	return append(append(b, question...), records...)
}

// FED-011. Keys are fetched from no address that is not public, nor listed, in whatever way it is written: not when it is
// the URL of the keys, nor when the discovery document says so, nor when it is the issuer.
func TestKeysAreNotFetchedFromPrivateAddresses(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	v, port := newVictim(t, keySet(es))
	newNames(t, map[string]string{
		"metadata.google.internal.": "169.254.169.254", "private.example.": "10.0.0.1", "local.example.": "127.0.0.1",
		"0x7f.1.": "127.0.0.1", // as the resolvers of some systems read it
	})
	issuer := newServerAt(t, "127.0.0.2")
	for _, c := range []struct{ url, want string }{
		{"http://issuer.example", "https://"},
		{"http://10.0.0.1", "https://"},
		{"http://169.254.169.254", "https://"},
		{"http://[::ffff:10.0.0.1]", "https://"},
		{"http://metadata.google.internal", "https://"},
		{"http://127.1:" + port, "https://"},
		{"http://0x7f.1:" + port, "https://"},
		{"http://127.0.0.1:" + port, "oauth.jwks_networks"},
		{"http://localhost:" + port, "oauth.jwks_networks"},
		{"http://[::1]:" + port, "oauth.jwks_networks"},
		{"http://[::ffff:127.0.0.1]:" + port, "oauth.jwks_networks"},
		{"https://localhost:" + port, "oauth.jwks_networks"},
		{"https://127.0.0.1:" + port, "oauth.jwks_networks"},
		{"https://127.1:" + port, "no such host"},
		{"https://0x7f.1:" + port, "oauth.jwks_networks"},
		{"https://2130706433:" + port, "no such host"},
		{"https://[::1]:" + port, "oauth.jwks_networks"},
		{"https://[::ffff:127.0.0.1]:" + port, "oauth.jwks_networks"},
		{"https://[::ffff:10.0.0.1]", "oauth.jwks_networks"},
		{"https://10.0.0.1", "oauth.jwks_networks"},
		{"https://169.254.169.254", "oauth.jwks_networks"},
		{"https://metadata.google.internal", "oauth.jwks_networks"},
		{"https://private.example", "oauth.jwks_networks"},
		{"https://local.example:" + port, "oauth.jwks_networks"},
	} {
		issuer.discoverable(issuer.URL, c.url+"/keys")
		for how, src := range map[string]*Source{
			"jwks_uri of a trust":                {URL: c.url + "/keys"},
			"jwks_uri of a discovery document":   {Issuer: issuer.URL},
			"the issuer of a discovery document": {Issuer: c.url},
		} {
			src.ID, src.Kind, src.Algorithms = how, Platform, jose.PlatformAlgorithms()
			s := New(ForPlatforms([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")}))
			err := s.Verify(t.Context(), src, signed(t, es), start)
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s as the %s: got %v", c.url, how, err)
			}
			isIn(t, err, c.want)
		}
	}
	if n := v.connections.Load(); n != 0 {
		t.Errorf("there were %d connections", n)
	}
}

// FED-011. A name that leads elsewhere the second time gains nothing: the address is checked with each connection.
func TestNameThatLeadsElsewhereLaterIsChecked(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	v, port := newVictim(t, keySet(es))
	n := newNames(t, map[string]string{"example.com.": "127.0.0.2"})
	l := listenAt(t, "127.0.0.2:"+port) // the same port, so that only the address differs
	issuer := httptest.NewUnstartedServer(jsonText(keySet(es)))
	_ = issuer.Listener.Close()
	issuer.Listener = l
	issuer.StartTLS()
	defer issuer.Close()
	s, src := New(ForPlatforms([]netip.Prefix{netip.MustParsePrefix("127.0.0.2/32")})), platform("https://example.com:"+port+"/keys")
	trustCertificate(s, issuer)
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	n.set("example.com.", "127.0.0.1")
	must(t, s.Verify(t.Context(), src, signed(t, es), start.Add(Fresh))) // with the keys from before
	if err := s.State(src).Error; !strings.Contains(err, "oauth.jwks_networks") || v.connections.Load() != 0 {
		t.Errorf("got %q, and %d connections", err, v.connections.Load())
	}
}

// trustCertificate has s trust the certificate of a test server.
func trustCertificate(s *Sets, server *httptest.Server) {
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	s.client.Transport.(*http.Transport).TLSClientConfig.RootCAs = roots
}

// FED-009. No redirect is followed, of a discovery document or of keys, to another host or to this one.
func TestRedirectsAreNotFollowed(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	for _, status := range []int{301, 302, 303, 307, 308} {
		issuer, elsewhere := newServer(t), newServer(t)
		elsewhere.discoverable(issuer.URL, elsewhere.URL+"/keys")
		elsewhere.publish("/keys", keySet(es))
		for _, to := range []string{"http://169.254.169.254/", elsewhere.URL + discoveryPath, issuer.URL + "/moved"} {
			issuer.discoverable(issuer.URL, elsewhere.URL+"/keys")
			real := issuer.pages[discoveryPath]
			issuer.page("/moved", real)
			issuer.page(discoveryPath, http.RedirectHandler(to, status).ServeHTTP)
			s := New(ForPlatforms(loopback))
			err := s.Verify(t.Context(), &Source{ID: "a", Kind: Platform, Issuer: issuer.URL, Algorithms: jose.PlatformAlgorithms()}, signed(t, es), start)
			isIn(t, err, fmt.Sprint("answered ", status), "redirects are not followed")
		}
		issuer.page("/keys", http.RedirectHandler(elsewhere.URL+"/keys", status).ServeHTTP)
		err := New(ForPlatforms(loopback)).Verify(t.Context(), platform(issuer.URL+"/keys"), signed(t, es), start)
		isIn(t, err, fmt.Sprint("answered ", status), "redirects are not followed")
		if elsewhere.asked.Load() != 0 {
			t.Errorf("a redirect with %d was followed", status)
		}
	}
}

// OpenID Connect Discovery 1.0, section 4.3: the issuer is compared as a string.
func TestDiscoveryDocumentIsThatOfTheIssuer(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	p.publish("/keys", keySet(es))
	for name, document := range map[string]string{
		"another issuer":          `{"issuer":"https://other.test","jwks_uri":"` + p.URL + `/keys"}`,
		"with a slash":            `{"issuer":"` + p.URL + `/","jwks_uri":"` + p.URL + `/keys"}`,
		"in capitals":             `{"issuer":"` + strings.ToUpper(p.URL) + `","jwks_uri":"` + p.URL + `/keys"}`,
		"no issuer":               `{"jwks_uri":"` + p.URL + `/keys"}`,
		"two issuers":             `{"issuer":"https://other.test","issuer":"` + p.URL + `","jwks_uri":"` + p.URL + `/keys"}`,
		"no jwks_uri":             `{"issuer":"` + p.URL + `"}`,
		"a relative jwks_uri":     `{"issuer":"` + p.URL + `","jwks_uri":"/keys"}`,
		"a file":                  `{"issuer":"` + p.URL + `","jwks_uri":"file:///etc/passwd"}`,
		"no object":               `[]`,
		"no JSON":                 `<html>`,
		"jwks_uri in other cases": `{"issuer":"` + p.URL + `","JWKS_URI":"` + p.URL + `/keys"}`,
	} {
		p.publish(discoveryPath, document)
		src := &Source{ID: "a", Kind: Platform, Issuer: p.URL, Algorithms: jose.PlatformAlgorithms()}
		err := New(ForPlatforms(loopback)).Verify(t.Context(), src, signed(t, es), start)
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// A path, with or without a slash at its end, is part of the issuer.
	p.publish("/tenant"+discoveryPath, `{"issuer":"`+p.URL+`/tenant/","jwks_uri":"`+p.URL+`/keys","more":["`+strings.Repeat(`","`, 1000)+`"]}`)
	src := &Source{ID: "a", Kind: Platform, Issuer: p.URL + "/tenant/", Algorithms: jose.PlatformAlgorithms()}
	must(t, New(ForPlatforms(loopback)).Verify(t.Context(), src, signed(t, es), start))
}

// FED-011. An issuer with TLS cannot say that its keys are fetched without it, not even from a listed network.
func TestKeysOfATLSIssuerAreFetchedOverTLS(t *testing.T) {
	es, plain := signer(t, "es", jose.ES256), newServer(t)
	plain.publish("/keys", keySet(es))
	var issuer *httptest.Server
	issuer = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys := issuer.URL + "/keys"
		if plainly := r.URL.Path == "/plain"+discoveryPath; plainly {
			keys = plain.URL + "/keys"
		}
		if strings.HasSuffix(r.URL.Path, discoveryPath) {
			jsonText(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer.URL+strings.TrimSuffix(r.URL.Path, discoveryPath), keys))(w, r)
			return
		}
		jsonText(keySet(es))(w, r)
	}))
	issuer.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of the client without the authority
	issuer.StartTLS()
	defer issuer.Close()
	src := &Source{ID: "a", Kind: Platform, Issuer: issuer.URL, Algorithms: jose.PlatformAlgorithms()}
	s := New(ForPlatforms(loopback))
	isIn(t, s.Verify(t.Context(), src, signed(t, es), start), "certificate")
	s = New(ForPlatforms(loopback))
	trustCertificate(s, issuer)
	must(t, s.Verify(t.Context(), src, signed(t, es), start))
	src = &Source{ID: "b", Kind: Platform, Issuer: issuer.URL + "/plain", Algorithms: jose.PlatformAlgorithms()}
	isIn(t, s.Verify(t.Context(), src, signed(t, es), start), "as the issuer does")
	if plain.asked.Load() != 0 {
		t.Error("the keys were fetched without TLS")
	}
}

// bad are answers with which nothing can be done, by what the error has to say.
func bad(t testing.TB, good string) map[string]http.HandlerFunc {
	contentType := func(name, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			if name != "" {
				w.Header().Set("Content-Type", name)
			}
			fmt.Fprint(w, text)
		}
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := io.CopyN(z, zeros{}, 16<<20)
	must(t, err)
	must(t, z.Close())
	compressed := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	}
	member := strings.TrimSuffix(strings.TrimPrefix(good, `{"keys":[`), `]}`)
	return map[string]http.HandlerFunc{
		"longer than 262144 bytes":             jsonText(good + strings.Repeat(" ", PlatformLimit)),
		"is compressed":                        compressed,
		"more than 512":                        jsonText(`{"keys":[` + strings.Repeat(`{},`, 9_999) + `{}]}`),
		"too many members":                     jsonText(`{"keys":[` + strings.Repeat(`{"":0},`, 30_000) + `{}]}`),
		"too deeply":                           jsonText(`{"keys":[` + member + `],"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`),
		`Content-Type "text/html"`:             contentType("text/html", good),
		`Content-Type ""`:                      contentType("", good),
		`Content-Type "text/plain"`:            contentType("text/plain", good),
		`Content-Type "application/jwt"`:       contentType("application/jwt", good),
		`Content-Type "image/svg+json"`:        contentType("image/svg+json", good),
		`Content-Type "application/json, x/y"`: contentType("application/json, x/y", good),
		"answered 204":                         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"answered 203": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			fmt.Fprint(w, good)
		},
		"answered 500":                func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"answered 404":                http.NotFound,
		"the key set is empty":        jsonText(`{"keys":[]}`),
		"none of the 1 keys":          jsonText(strings.Replace(good, `"use":"sig"`, `"use":"enc"`, 1)),
		"private members":             jsonText(`{"keys":[{"kty":"oct","k":"AAAA","kid":"k"}]}`),
		`no member "keys"`:            jsonText(`{}`),
		"malformed key set":           jsonText(`<html>`),
		"duplicate":                   jsonText(`{"keys":[` + member + `],"keys":[]}`),
		"malformed key set: jsontext": jsonText(good + "x"),
		"unexpected EOF": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "1000")
			fmt.Fprint(w, good)
		},
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// FED-012. Answers that are too long, compressed, of another type or without usable keys are errors, and keys that were
// fetched before serve on.
func TestBadAnswersDoNotReplaceGoodKeys(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	for want, page := range bad(t, keySet(es)) {
		p := newServer(t)
		p.page("/keys", page)
		s, src := New(ForPlatforms(loopback)), platform(p.URL+"/keys")
		err := s.Verify(t.Context(), src, signed(t, es), start)
		isIn(t, err, want)
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got %v", want, err)
		}
		now := start.Add(Refetch)
		p.publish("/keys", keySet(es))
		must(t, s.Verify(t.Context(), src, signed(t, es), now))
		p.page("/keys", page)
		for _, later := range []time.Duration{Fresh, Fresh + Refetch, Stale} {
			must(t, s.Verify(t.Context(), src, signed(t, es), now.Add(later)))
			if state := s.State(src); !strings.Contains(state.Error, want) || !state.Fetched.Equal(now) || !state.Tried.Equal(now.Add(later)) || len(state.Keys) != 1 {
				t.Errorf("%s: got %+v", want, state)
			}
		}
		if err := s.Verify(t.Context(), src, signed(t, es), now.Add(Stale+Refetch)); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s, after a day: got %v", want, err)
		}
		p.publish("/keys", keySet(es))
		must(t, s.Verify(t.Context(), src, signed(t, es), now.Add(Stale+2*Refetch)))
		if got := s.State(src).Error; got != "" {
			t.Errorf("afterwards: %s", got)
		}
	}
}

// The types of JSON are accepted: RFC 8259, RFC 7517, section 8.5, and RFC 6839, section 3.1.
func TestTypesOfJSONAreAccepted(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	for _, name := range []string{"application/json", "application/json; charset=utf-8", "application/jwk-set+json", "application/x+json", "Application/JSON"} {
		p := newServer(t)
		p.page("/keys", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", name)
			fmt.Fprint(w, keySet(es))
		})
		if err := New(ForPlatforms(loopback)).Verify(t.Context(), platform(p.URL+"/keys"), signed(t, es), start); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FED-012. Of an endless answer, little is read.
func TestEndlessAnswerIsAborted(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	sent := make(chan int64, 1)
	p.page("/keys", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(1<<30))
		n, _ := io.CopyN(w, zeros{}, 1<<30)
		sent <- n
	})
	isIn(t, New(ForPlatforms(loopback)).Verify(t.Context(), platform(p.URL+"/keys"), signed(t, es), start), "longer than 262144 bytes")
	if n := <-sent; n > 64<<20 { // what the buffers of the system take
		t.Errorf("%d bytes of the answer were taken", n)
	}
}

// inMemory has s connect to handler without the network, so that the time is that of a synctest bubble.
func inMemory(t testing.TB, s *Sets, handler http.Handler) {
	l := &pipes{made: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	s.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		client, served := net.Pipe()
		l.made <- served
		return client, nil
	}
}

type pipes struct {
	made   chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.made:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// FED-012. A fetch takes three seconds at most, with the discovery document, however slowly the answers come.
func TestSlowAnswersAreAbortedAfterThreeSeconds(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	drip := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for {
			fmt.Fprint(w, " ")
			w.(http.Flusher).Flush()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-r.Context().Done():
				return
			}
		}
	}
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	late := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(2 * time.Second):
		case <-r.Context().Done():
		}
		jsonText(`{"issuer":"http://127.0.0.1","jwks_uri":"http://127.0.0.1/keys"}`)(w, r)
	}
	for name, pages := range map[string]map[string]http.HandlerFunc{
		"no answer to discovery":          {discoveryPath: silent},
		"a slow discovery document":       {discoveryPath: drip},
		"keys after a late document":      {discoveryPath: late, "/keys": drip},
		"no keys after a late document":   {discoveryPath: late, "/keys": silent},
		"late keys after a late document": {discoveryPath: late, "/keys": late},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := New(ForPlatforms(loopback))
				inMemory(t, s, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { pages[r.URL.Path](w, r) }))
				src := &Source{ID: "a", Kind: Platform, Issuer: "http://127.0.0.1", Algorithms: jose.PlatformAlgorithms()}
				begin := time.Now()
				isIn(t, s.Verify(t.Context(), src, signed(t, es), begin), "no complete answer within 3s")
				if took := time.Since(begin); took != PlatformTimeout {
					t.Errorf("took %s, want %s", took, PlatformTimeout)
				}
			})
		})
	}
}

// FED-012. While the keys of one issuer are slow to come, those of others are fetched, and few requests wait.
func TestOthersAreUnaffectedByASlowIssuer(t *testing.T) {
	slow, quick, es := newServer(t), newServer(t), signer(t, "es", jose.ES256)
	arrived, release := make(chan struct{}, 1), make(chan struct{})
	slow.page("/keys", func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-release
		jsonText(keySet(es))(w, r)
	})
	quick.publish("/keys", keySet(es))
	s, hanging, other := New(ForPlatforms(loopback)), platform(slow.URL+"/keys"), platform(quick.URL+"/keys")
	other.ID = "trust_2"
	const requests = 200
	answers := make(chan error, requests)
	token := signed(t, es)
	for range requests {
		go func() { answers <- s.Verify(context.Background(), hanging, token, start) }()
	}
	<-arrived
	for range requests - MaxWaitingForOne {
		if err := <-answers; !errors.Is(err, ErrUnavailable) {
			t.Errorf("more than may wait: got %v", err)
		}
	}
	if n := s.Waiting(); n != MaxWaitingForOne {
		t.Errorf("%d wait, want %d", n, MaxWaitingForOne)
	}
	must(t, s.Verify(t.Context(), other, signed(t, es), start))
	close(release)
	for range MaxWaitingForOne {
		must(t, <-answers)
	}
	if n := slow.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

// A request that is given up does not end the fetch that others wait for.
func TestFetchGoesOnWithoutTheFirstRequest(t *testing.T) {
	p, es := newServer(t), signer(t, "es", jose.ES256)
	arrived, release := make(chan struct{}), make(chan struct{})
	p.page("/keys", func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-release
		jsonText(keySet(es))(w, r)
	})
	s, src, token := New(ForPlatforms(loopback)), platform(p.URL+"/keys"), signed(t, es)
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() { first <- s.Verify(ctx, src, token, start) }()
	<-arrived
	second := make(chan error)
	go func() { second <- s.Verify(t.Context(), src, token, start) }()
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	must(t, <-second)
	if n := p.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
}

// Errors are for operators, who see where it was tried, without what may be secret.
func TestErrorsHaveNoQuery(t *testing.T) {
	es := signer(t, "es", jose.ES256)
	for _, url := range []string{newServer(t).URL + "/keys?token=c0ffee", "http://127.0.0.1:1/keys?token=c0ffee"} {
		s, src := New(ForPlatforms(loopback)), platform(url)
		err := s.Verify(t.Context(), src, signed(t, es), start)
		isIn(t, err, "/keys")
		if strings.Contains(err.Error()+s.State(src).Error, "c0ffee") {
			t.Errorf("got %v", err)
		}
	}
}
