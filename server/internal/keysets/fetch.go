package keysets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// CheckURL reports whether keys may be fetched from an address: over TLS, or from this machine. Where its name leads is
// checked when a connection is made.
func CheckURL(s string) error {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || len(s) > 2048:
		return errors.New("must be an absolute URL of at most 2048 characters")
	case u.User != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }):
		return errors.New("must have no user name, password, blank or fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && netaddr.IsLoopback(u.Hostname()):
		return nil
	}
	return errors.New("must begin with https://, or with http:// and a loopback address")
}

// fetch asks for the keys of src. known is what was fetched before and is not too old, or nil.
func (s *Sets) fetch(ctx context.Context, src *Source, known *content) (*content, error) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	client := s.client
	if src.EndpointID != "" {
		var err error
		if client, err = s.clientOf(src, known); err != nil {
			return nil, fmt.Errorf("fetch keys: %w", err)
		}
	}
	address := src.URL
	if address == "" {
		var err error
		if address, err = s.discover(ctx, src); err != nil {
			return nil, fmt.Errorf("fetch the discovery document: %w", err)
		}
	}
	b, err := s.get(ctx, client, src, address)
	if err != nil {
		return nil, fmt.Errorf("fetch keys: %w", err)
	}
	c, err := read(src, b, false)
	if err != nil {
		return nil, fmt.Errorf("fetch keys from %s: %w", place(address), err)
	}
	// SPIFFE Federation, section 4.2.
	if known != nil && known.sequence != nil && c.sequence != nil && *c.sequence < *known.sequence {
		return nil, fmt.Errorf("fetch keys from %s: the bundle has the sequence number %d, and is older than the one from before with %d",
			place(address), *c.sequence, *known.sequence)
	}
	return c, nil
}

// discover returns the jwks_uri of the issuer (OpenID Connect Discovery 1.0, sections 4.1 and 4.3).
func (s *Sets) discover(ctx context.Context, src *Source) (string, error) {
	address := strings.TrimSuffix(src.Issuer, "/") + "/.well-known/openid-configuration"
	b, err := s.get(ctx, s.client, src, address)
	if err != nil {
		return "", err
	}
	var m struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := strictjson.UnmarshalWide(b, &m, maxMembers); err != nil {
		return "", fmt.Errorf("%s: %w", place(address), err)
	}
	if m.Issuer != src.Issuer {
		return "", fmt.Errorf("%s: it is that of the issuer %q, not %q: give the issuer exactly as its tokens name it", place(address), clip(m.Issuer), src.Issuer)
	}
	if strings.HasPrefix(src.Issuer, "https:") && !strings.HasPrefix(m.Keys, "https:") {
		return "", fmt.Errorf("%s: its jwks_uri must begin with https://, as the issuer does", place(address))
	}
	return m.Keys, nil
}

// get returns the body of an answer.
func (s *Sets) get(ctx context.Context, client *http.Client, src *Source, address string) ([]byte, error) {
	where := place(address)
	if err := CheckURL(address); err != nil {
		return nil, fmt.Errorf("%s: the URL %w", where, err)
	}
	b, err := s.body(ctx, client, src, address)
	switch {
	case err == nil:
		return b, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("%s: no complete answer within %s", where, s.o.Timeout)
	}
	// Without the URL, which may have a secret in its query.
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	return nil, fmt.Errorf("%s: %w", where, err)
}

func (s *Sets) body(ctx context.Context, client *http.Client, src *Source, address string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	resp, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch encoding := resp.Header.Get("Content-Encoding"); {
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("answered %d, want 200; redirects are not followed", resp.StatusCode)
	case encoding != "" && encoding != "identity":
		return nil, fmt.Errorf("the answer is compressed (%q), though that was not asked for", clip(encoding))
	case src.Kind != Client && !isJSON(resp.Header.Get("Content-Type")):
		return nil, fmt.Errorf("the answer has the Content-Type %q, want application/json", clip(resp.Header.Get("Content-Type")))
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, int64(s.o.Limit)+1))
	if err != nil {
		return nil, err
	}
	if len(b) > s.o.Limit {
		return nil, fmt.Errorf("the answer is longer than %d bytes", s.o.Limit)
	}
	return b, nil
}

// isJSON reports whether a media type is that of JSON (RFC 6839, section 3.1), such as application/jwk-set+json.
func isJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json"))
}

// place is an address without its query, for errors and logs.
func place(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "the URL"
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// checkEndpoint returns an error if the bundle endpoint of src cannot authenticate with its SPIFFE ID.
func (s *Source) checkEndpoint() error {
	switch {
	case s.EndpointID == "":
		return nil
	case s.Kind != SPIFFE || !strings.HasPrefix(s.URL, "https:"):
		return errors.New("a SPIFFE ID of the bundle endpoint needs a SPIFFE bundle with an https URL")
	case !strings.HasPrefix(s.EndpointID, s.Issuer+"/") || len(s.EndpointID) == len(s.Issuer)+1:
		// Another trust domain's authorities are not known.
		return fmt.Errorf("the SPIFFE ID of the bundle endpoint must begin with %s/, since the certificate of the endpoint is checked with the bundle", s.Issuer)
	}
	return nil
}

// clientOf returns a client that connects to the bundle endpoint of src only if it has an X.509-SVID with its SPIFFE ID,
// of an authority in the latest bundle or, before there is one, in what was uploaded (SPIFFE Federation, section
// 5.2.2.4). Its host name is not in the certificate.
func (s *Sets) clientOf(src *Source, known *content) (*http.Client, error) {
	if err := src.checkEndpoint(); err != nil {
		return nil, err
	}
	if known == nil {
		var err error
		if known, err = read(src, []byte(src.JWKS), true); err != nil {
			return nil, fmt.Errorf("read the uploaded bundle: %w", err)
		}
	}
	if len(known.authorities) == 0 {
		return nil, errors.New("no authority of X.509-SVIDs is known, with which the bundle endpoint could be checked: upload the bundle of the trust domain")
	}
	roots := x509.NewCertPool()
	for _, c := range known.authorities {
		roots.AddCert(c)
	}
	client := s.policy.Client(s.o.Timeout)
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{
		MinVersion: tls.VersionTLS12,
		// Go would look for the host name. VerifyConnection checks the certificate instead, with every connection.
		InsecureSkipVerify: true, //nolint:gosec // see above
		VerifyConnection: func(c tls.ConnectionState) error {
			intermediates := x509.NewCertPool()
			for _, c := range c.PeerCertificates[1:] {
				intermediates.AddCert(c)
			}
			leaf := c.PeerCertificates[0]
			id, err := SPIFFEID(leaf)
			switch {
			case err != nil:
				return fmt.Errorf("the certificate of the bundle endpoint: %w", err)
			case id != src.EndpointID:
				return fmt.Errorf("the bundle endpoint is %q, not %q", clip(id), src.EndpointID)
			}
			_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
			return err
		},
	}
	return client, nil
}

// SPIFFEID returns the SPIFFE ID of an X.509-SVID, of which it checks the form, and not who signed it (X509-SVID,
// sections 2, 4 and 5.2). It is as the certificate spells it: package url makes SPIFFE://a and spiffe://a# the same.
func SPIFFEID(leaf *x509.Certificate) (string, error) {
	const signing = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	if len(leaf.URIs) != 1 {
		return "", fmt.Errorf("it has %d URIs, want one SPIFFE ID", len(leaf.URIs))
	}
	switch u := leaf.URIs[0]; {
	case u.Scheme != "spiffe" || u.Host == "" || u.Port() != "" || u.User != nil || len(u.Path) < 2 || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("its URI is not the SPIFFE ID of a workload")
	case leaf.IsCA || leaf.KeyUsage&signing != 0:
		return "", errors.New("it is the certificate of an authority, not of a workload")
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return "", errors.New("its key usage is not digitalSignature")
	}
	id, err := uriOf(leaf)
	if err != nil || !strings.HasPrefix(id, "spiffe://") || strings.ContainsAny(id, "#?%") {
		return "", errors.New("its URI is not the SPIFFE ID of a workload")
	}
	return id, nil
}

// uriOf returns the text of the first URI among the subjectAltNames of a certificate (RFC 5280, section 4.2.1.6).
func uriOf(leaf *x509.Certificate) (string, error) {
	const uniformResourceIdentifier = 6
	for _, e := range leaf.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{2, 5, 29, 17}) {
			continue
		}
		var names []asn1.RawValue
		if _, err := asn1.Unmarshal(e.Value, &names); err != nil {
			return "", fmt.Errorf("read the subjectAltName: %w", err)
		}
		for _, n := range names {
			if n.Class == asn1.ClassContextSpecific && n.Tag == uniformResourceIdentifier {
				return string(n.Bytes), nil
			}
		}
	}
	return "", errors.New("it has no URI")
}
