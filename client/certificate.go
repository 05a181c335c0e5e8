package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"sync"
)

// CertificateSource returns the certificate to present, and its key. It is called before each request to the
// authorization server.
type CertificateSource func(ctx context.Context) (*tls.Certificate, error)

// Certificate returns a source of a certificate that does not change.
func Certificate(cert tls.Certificate) CertificateSource {
	return func(context.Context) (*tls.Certificate, error) { return &cert, nil }
}

// CertificateFiles returns a source that reads a certificate, with its intermediates, and its key from PEM files. The
// files may be replaced at any time. A renewed certificate is used from the next token on, and is presented to
// services together with that token.
func CertificateFiles(certFile, keyFile string) CertificateSource {
	return func(context.Context) (*tls.Certificate, error) {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			return nil, fmt.Errorf("load the certificate %s and its key %s: %w", certFile, keyFile, err)
		}
		return &cert, nil
	}
}

// certificates has the current certificate and the previous one. A token is valid only over connections with the
// certificate with which it was obtained (RFC 8705, section 3).
type certificates struct {
	source CertificateSource

	mu      sync.Mutex
	current *certificate
}

// certificate is a certificate and the connections that present it.
type certificate struct {
	tls    *tls.Certificate
	digest [sha256.Size]byte

	mu         sync.Mutex
	transports map[*http.Transport]*http.Transport // by the transport that was copied
}

// load returns the certificate to use now.
func (c *certificates) load(ctx context.Context) (*certificate, error) {
	cert, err := c.source(ctx)
	if err == nil && (cert == nil || len(cert.Certificate) == 0) {
		err = errors.New("the source returned none")
	}
	if err != nil {
		return nil, failure{err: fmt.Errorf("no certificate: %w", err), local: true}
	}
	digest := sha256.Sum256(cert.Certificate[0])
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil && c.current.digest == digest {
		return c.current, nil
	}
	if c.current != nil {
		// Tokens for the old certificate are still sent, over new connections.
		c.current.closeIdle()
	}
	c.current = &certificate{tls: cert, digest: digest, transports: make(map[*http.Transport]*http.Transport)}
	return c.current, nil
}

func (c *certificates) close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.current != nil {
		c.current.closeIdle()
	}
}

// over returns a copy of base, or of http.DefaultTransport if base is nil, whose connections present the
// certificate. If base is not an *http.Transport, over returns base, which then has to do so itself.
func (c *certificate) over(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	t, ok := base.(*http.Transport)
	if c == nil || !ok {
		return base
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if own, ok := c.transports[t]; ok {
		return own
	}
	own := t.Clone()
	if own.TLSClientConfig == nil {
		own.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		own.ForceAttemptHTTP2 = true // which a TLSClientConfig would otherwise turn off
	}
	// The authorities that the server names do not matter, because a self-signed certificate has none.
	own.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return c.tls, nil }
	c.transports[t] = own
	return own
}

func (c *certificate) closeIdle() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.transports {
		t.CloseIdleConnections()
	}
}
