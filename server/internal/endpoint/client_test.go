package endpoint

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/watchword-dev/watchword/server/internal/clientauth"
)

// from is r as it came from an address.
func from(r *http.Request, address string) *request {
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(address), 1).String()
	return &request{r: r}
}

func selfSigned(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// MTL-006: a header proves a certificate only when a proxy that was named sends it.
func TestCertificateHeaderIsBelievedOnlyFromAProxy(t *testing.T) {
	der := selfSigned(t)
	e := &endpoints{o: Options{Front: clientauth.Front{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Header: "Client-Cert"}}}
	inPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	forms := map[string]string{
		"RFC 9440":            ":" + base64.StdEncoding.EncodeToString(der) + ":",
		"PEM":                 strings.ReplaceAll(strings.TrimSpace(inPEM), "\n", " "),
		"PEM without breaks":  strings.ReplaceAll(inPEM, "\n", ""),
		"PEM percent-encoded": url.PathEscape(inPEM), // as nginx does: a + stays
		"PEM query-encoded":   strings.ReplaceAll(url.QueryEscape(inPEM), "+", "%20"),
	}
	for name, v := range forms {
		for _, header := range []string{"Client-Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Ssl-Client-Cert", "Ssl-Client-Cert"} {
			r := httptest.NewRequest("POST", "/", nil)
			r.Header.Set(header, v)
			got, bad := e.certificates(from(r, "10.2.0.1"))
			if bad != nil || got != nil {
				t.Errorf("%s in %s from anybody: got %v, %+v", name, header, got, bad)
			}
			got, bad = e.certificates(from(r, "10.1.2.3"))
			switch {
			case bad != nil:
				t.Errorf("%s in %s from the proxy: %+v", name, header, bad)
			case header != "Client-Cert" && got != nil:
				t.Errorf("%s in %s from the proxy was believed", name, header)
			case header == "Client-Cert" && (len(got) != 1 || !bytes.Equal(got[0].Raw, der)):
				t.Errorf("%s from the proxy: got %v", name, got)
			}
		}
	}
}

// What a proxy presents on its own connection is its own certificate, not the client's.
func TestCertificateOfTheConnection(t *testing.T) {
	cert, err := x509.ParseCertificate(selfSigned(t))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
	e := &endpoints{o: Options{Front: clientauth.Front{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Header: "Client-Cert"}}}
	if got, bad := e.certificates(from(r, "10.2.0.1")); bad != nil || len(got) != 1 || got[0] != cert {
		t.Errorf("of a client: got %v, %+v", got, bad)
	}
	if got, bad := e.certificates(from(r, "10.1.0.1")); bad != nil || got != nil {
		t.Errorf("of a proxy: got %v, %+v", got, bad)
	}
}

func TestCertificateHeaderThatIsNoneIsRefused(t *testing.T) {
	e := &endpoints{o: Options{Front: clientauth.Front{Networks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, Header: "Client-Cert"}}}
	good := ":" + base64.StdEncoding.EncodeToString(selfSigned(t)) + ":"
	for _, values := range [][]string{
		{"x"}, {":"}, {"::"}, {":!:"}, {"%zz"}, {pemBegin + pemEnd}, {pemBegin + "AAAA" + pemEnd}, {pemBegin}, {good, good}, {good + ", " + good}, {good[1:]},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Header = http.Header{"Client-Cert": values}
		if got, bad := e.certificates(from(r, "10.1.0.1")); bad == nil {
			t.Errorf("%q: got %v", values, got)
		}
	}
	r := httptest.NewRequest("POST", "/", nil)
	r.Header = http.Header{"Client-Cert": {""}}
	if got, bad := e.certificates(from(r, "10.1.0.1")); got != nil || bad != nil {
		t.Errorf("an empty header is no certificate: got %v, %+v", got, bad)
	}
}

const (
	pemBegin = "-----BEGIN CERTIFICATE-----"
	pemEnd   = "-----END CERTIFICATE-----"
)

// NAT-019: of two Authorization headers none is chosen, even where both say the same or one of them nothing.
func TestTwoAuthorizationHeadersAreRefused(t *testing.T) {
	const bearerA, bearerB, basicA, basicB = "Bearer a", "Bearer b", "Basic YTpi", "Basic Yzpk"
	for _, values := range [][]string{
		{bearerA, bearerB}, {bearerA, bearerA}, {bearerA, ""}, {basicA, basicB}, {basicA, basicA}, {basicA, ""}, {"", basicA}, {basicA, bearerA}, {bearerA, basicA, ""},
	} {
		if _, bad := basic(values); bad == nil || bad.reason != "two_credentials" {
			t.Errorf("%q as Basic: got %+v", values, bad)
		}
		if _, bad := bearer(values); bad == nil || bad.reason != "two_credentials" {
			t.Errorf("%q as Bearer: got %+v", values, bad)
		}
	}
}
