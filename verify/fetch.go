package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/netaddr"
)

const (
	// fetchTimeout limits one fetch.
	fetchTimeout = 5 * time.Second
	// maxKeySetSize has room for jose.MaxKeys keys: an RSA key takes about 700 bytes.
	maxKeySetSize = 512 << 10
	maxRedirects  = 3
)

// fetched is a key set from the server or the cache file.
type fetched struct {
	set      *jose.KeySet
	document []byte
	at       time.Time
	lifetime time.Duration
}

func newKeySource(c Config) (*keySource, error) {
	s := &keySource{logger: cmp.Or(c.Logger, slog.Default())}
	switch {
	case c.JWKSURL == "" && c.Keys == nil:
		return nil, errors.New("no source of keys: set Config.JWKSURL to the authorization server's /.well-known/jwks.json")
	case c.JWKSURL != "" && c.Keys != nil:
		return nil, errors.New("two sources of keys: set either Config.JWKSURL or Config.Keys")
	case c.Keys != nil:
		set, err := jose.ParseKeySet(c.Keys)
		if err != nil {
			return nil, fmt.Errorf("Config.Keys: %w", err)
		}
		if len(set.Keys()) == 0 {
			return nil, errors.New("Config.Keys has no key that can be used: it must be a JWK Set of public signing keys")
		}
		s.state.Store(&keyState{set: set})
		return s, nil
	}
	u, err := sourceURL("Config.JWKSURL", c.JWKSURL, c.AllowHTTP)
	if err != nil {
		return nil, err
	}
	source := remote{url: u, client: httpClient(c.HTTPClient)}
	s.fetch = source.fetch
	if c.CacheFile != "" {
		s.useCacheFile(cacheFile{path: c.CacheFile, url: u.Redacted()})
	}
	return s, nil
}

// sourceURL parses the URL of a document that is trusted.
func sourceURL(name, s string, allowHTTP bool) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New(name + " is not an absolute http or https URL")
	}
	if u.Scheme == "http" && !netaddr.IsLoopback(u.Hostname()) && !allowHTTP {
		return nil, fmt.Errorf("%s %s: anybody on the network path could change it: use https, or set Config.AllowHTTP if the network is trusted", name, u.Redacted())
	}
	return u, nil
}

// httpClient returns a copy of c, or a new client, that follows no redirect to another origin, which would then
// choose the keys.
func httpClient(c *http.Client) *http.Client {
	var own http.Client
	if c != nil {
		own = *c
	} else {
		// There is one request in several minutes, so idle connections are not useful.
		own.Transport = &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true}
	}
	own.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if first := via[0].URL; r.URL.Scheme != first.Scheme || r.URL.Host != first.Host {
			return fmt.Errorf("redirected to another host, %s", r.URL.Host)
		}
		if len(via) > maxRedirects {
			return errors.New("too many redirects")
		}
		return nil
	}
	return &own
}

// remote is the authorization server's key set endpoint.
type remote struct {
	url    *url.URL
	client *http.Client
}

func (r remote) fetch(ctx context.Context) (fetched, error) {
	got, err := r.get(ctx)
	if err != nil {
		return fetched{}, fmt.Errorf("fetch key set from %s: %w", r.url.Redacted(), err)
	}
	return got, nil
}

func (r remote) get(ctx context.Context) (fetched, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url.String(), nil)
	if err != nil {
		return fetched{}, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		if e := (*url.Error)(nil); errors.As(err, &e) {
			err = e.Err // without the URL, which is in the text below
		}
		return fetched{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fetched{}, fmt.Errorf("the answer is %s", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySetSize+1))
	if err != nil {
		return fetched{}, err
	}
	if len(body) > maxKeySetSize {
		return fetched{}, fmt.Errorf("the answer is longer than %d bytes", maxKeySetSize)
	}
	set, err := jose.ParseKeySet(body)
	if err != nil {
		return fetched{}, err
	}
	if len(set.Keys()) == 0 {
		// No token could be verified with it, so it does not replace another one.
		return fetched{}, errors.New("no key in it can verify a token")
	}
	return fetched{set: set, document: body, at: time.Now(), lifetime: lifetime(resp.Header)}, nil
}

// lifetime returns how long the answer may be used (RFC 9111, section 5.2.2).
func lifetime(h http.Header) time.Duration {
	lifetime := defaultLifetime
	for _, directive := range strings.Split(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return minLifetime
		case "max-age":
			if seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31); err == nil {
				lifetime = time.Duration(seconds) * time.Second
			}
		}
	}
	return lifetime
}

// useCacheFile loads the keys of an earlier run if they are recent enough, and saves the keys that are fetched from
// now on.
func (s *keySource) useCacheFile(f cacheFile) {
	s.save = f.save
	got, err := f.load()
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		s.logger.Warn("cannot use the cache file; waiting for the authorization server", "error", err)
		return
	}
	s.state.Store(newKeyState(got.set, got.at, got.lifetime))
}
