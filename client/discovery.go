package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// discoveryKept is how long the server's metadata is used before it is fetched again.
const discoveryKept = time.Hour

// discovery finds the token endpoint with the server's metadata (RFC 8414).
type discovery struct {
	issuer   string
	insecure bool // plain http to another host is permitted
	mtls     bool

	turn     chan struct{} // held while the other fields are used, so that one request is sent and the others wait
	endpoint string
	until    time.Time
}

func (d *discovery) tokenEndpoint(ctx context.Context, h *http.Client, now time.Time) (string, error) {
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if now.Before(d.until) {
		return d.endpoint, nil
	}
	endpoint, err := d.discover(ctx, h)
	switch {
	case err == nil:
		d.endpoint = endpoint
	case d.endpoint == "":
		return "", err
	}
	// If the metadata cannot be fetched again, the last endpoint is used.
	d.until = now.Add(discoveryKept)
	return d.endpoint, nil
}

func (d *discovery) discover(ctx context.Context, h *http.Client) (string, error) {
	where, err := metadataURL(d.issuer)
	if err != nil {
		return "", failure{err: err, local: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return "", fmt.Errorf("create the request for metadata: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", userAgent)
	resp, err := h.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // read to its limit below
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return "", fmt.Errorf("read its metadata: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return "", failure{
			err:        fmt.Errorf("it answered %d to the request for its metadata at %s; is it an OAuth 2 server, and is that its address?", resp.StatusCode, where),
			retryAfter: parseRetryAfter(resp.Header.Get("Retry-After"), time.Now()),
		}
	}
	return d.parse(body)
}

// metadataURL inserts the well-known path between host and path (RFC 8414, section 3.1).
func metadataURL(issuer string) (string, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return "", errors.New("its address cannot be parsed")
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	return u.Scheme + "://" + u.Host + "/.well-known/oauth-authorization-server" + path, nil
}

func (d *discovery) parse(body []byte) (string, error) {
	var m struct {
		Issuer        string `json:"issuer"`
		TokenEndpoint string `json:"token_endpoint"`
		Aliases       struct {
			TokenEndpoint string `json:"token_endpoint"`
		} `json:"mtls_endpoint_aliases"`
	}
	if err := strictjson.Unmarshal(body, &m); err != nil || len(body) > maxAnswer {
		return "", errors.New("its metadata is not one well-formed JSON object of reasonable size")
	}
	// RFC 8414, section 3.3: the issuer must be identical.
	if m.Issuer != d.issuer {
		return "", fmt.Errorf("its metadata is for issuer %q, not for %q; if that is the same server, configure that URL", clip(m.Issuer), d.issuer)
	}
	endpoint := m.TokenEndpoint
	if d.mtls && m.Aliases.TokenEndpoint != "" {
		endpoint = m.Aliases.TokenEndpoint // RFC 8705, section 5
	}
	if endpoint == "" {
		return "", errors.New("its metadata has no token_endpoint")
	}
	u, err := parseEndpoint(endpoint, d.insecure)
	if err != nil {
		return "", fmt.Errorf("its token endpoint has an %w", err)
	}
	return u.String(), nil
}

// parseEndpoint is like parseServer, but allows a query (RFC 6749, section 3.2).
func parseEndpoint(s string, insecure bool) (*url.URL, error) {
	base, query, _ := strings.Cut(s, "?")
	u, err := parseServer(base, insecure)
	if err != nil {
		return nil, err
	}
	u.RawQuery = query
	return u, nil
}

// clip limits the length of a text from the server that is logged.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "..."
	}
	return s
}
