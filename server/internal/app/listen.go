package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"

	"github.com/pires/go-proxyproto"

	"github.com/watchword-dev/watchword/internal/netaddr"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/web"
)

// listener is one bound address and the server behind it.
type listener struct {
	name        string
	net         net.Listener
	server      *http.Server
	connections *connections
	// certificate is nil where the listener speaks plain HTTP.
	certificate *reloaded[*tls.Certificate]
}

// URL is where the listener answers.
func (l *listener) URL() string {
	scheme := "http"
	if l.certificate != nil {
		scheme = "https"
	}
	return scheme + "://" + l.net.Addr().String()
}

func (l *listener) serve() error {
	if l.certificate != nil {
		return l.server.ServeTLS(l.net, "", "")
	}
	return l.server.Serve(l.net)
}

const (
	services = "services" // the public listener
	// operators is the listener of operators, whose commands and health checks connect to it directly, also from a machine
	// that proxies run on: the PROXY protocol is not spoken there.
	operators = "operators"
)

// listen binds all listeners, so that a port that is taken is known before anything serves.
func (s *Server) listen(ctx context.Context) error {
	bind := []struct {
		name, address, flag string
		tls                 config.TLS
		handler             http.Handler
	}{
		{services, s.cfg.Listen, "--listen", s.cfg.TLS, s.public()},
		{operators, s.cfg.Admin.Listen, "--admin-listen", s.cfg.Admin.TLS, nil},
	}
	if s.superTokensAPI != nil {
		bind = append(bind, struct {
			name, address, flag string
			tls                 config.TLS
			handler             http.Handler
		}{"SuperTokens clients", s.cfg.SuperTokens.Listen, "--supertokens-listen", s.cfg.SuperTokens.TLS, s.superTokens()})
	}
	for _, b := range bind {
		l, err := s.newListener(ctx, b.name, b.address, b.tls)
		if netaddr.IsTaken(err) {
			return fmt.Errorf("listen for %s: %w: stop what uses it, or choose another address with %s", b.name, err, b.flag)
		} else if err != nil {
			return fmt.Errorf("listen for %s: %w", b.name, err)
		}
		s.listeners = append(s.listeners, l)
		if b.handler == nil { // the operators' handler wants to know its own address
			b.handler = s.operators(l.net.Addr().String())
		}
		proxies := web.Proxies{Networks: s.cfg.Proxy.Networks, Header: s.cfg.Proxy.AddressHeader}
		l.server.Handler = proxies.Resolve(s.closeWhileDraining(b.handler))
	}
	return nil
}

func (s *Server) newListener(ctx context.Context, name, address string, t config.TLS) (*listener, error) {
	var lc net.ListenConfig
	n, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if s.cfg.Proxy.Protocol && name != operators {
		n = proxied(n, s.cfg.Proxy.Networks)
	}
	connections := newConnections(mostConnections(name, openFiles()), s.cfg.Proxy.Networks, s.connectionsClosed.WithLabelValues(name))
	l := &listener{name: name, net: n, connections: connections, server: &http.Server{
		ReadHeaderTimeout: web.ReadHeaderTimeout,
		ReadTimeout:       web.ReadTimeout,
		WriteTimeout:      web.WriteTimeout,
		IdleTimeout:       web.IdleTimeout,
		MaxHeaderBytes:    web.MaxHeaderBytes,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: web.MaxStreams},
		ConnState:         connections.state,
		ErrorLog:          slog.NewLogLogger(s.logger.Handler(), slog.LevelDebug),
	}}
	if s.cfg.Proxy.CertificateHeader != "" {
		l.server.ConnContext = withProxy
	}
	if !t.Enabled() {
		return l, nil
	}
	if l.certificate, err = loadCertificate(t, s.logger); err != nil {
		n.Close()
		return nil, err
	}
	s.reloading = append(s.reloading, l.certificate)
	l.server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: suites, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return l.certificate.current(), nil
	}}
	if name == services {
		// Any certificate may come, self-signed ones too (RFC 8705, section 2.2); what it proves is for
		// clientauth to say, whatever the ClientHello said.
		l.server.TLSConfig.ClientAuth = tls.RequestClientCert
	}
	return l, nil
}

// proxied has connections from these networks begin with a header of the PROXY protocol, and takes none from others.
func proxied(n net.Listener, networks []netip.Prefix) net.Listener {
	return &proxyproto.Listener{
		Listener: n, ReadHeaderTimeout: web.ReadHeaderTimeout,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			from, err := netip.ParseAddrPort(o.Upstream.String())
			if err == nil && slices.ContainsFunc(networks, func(p netip.Prefix) bool { return p.Contains(from.Addr().Unmap()) }) {
				return proxyproto.REQUIRE, nil
			}
			return proxyproto.SKIP, nil
		},
	}
}

// withProxy keeps the address of the proxy that a connection comes from by the PROXY protocol: its header is believed.
// A proxy that sends no header passes on the TLS connection of the client, whose certificate counts.
func withProxy(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if _, ok := c.(*proxyproto.Conn); ok {
		if from, err := netip.ParseAddrPort(raw(c).RemoteAddr().String()); err == nil {
			return web.WithPeer(ctx, from.Addr().Unmap())
		}
	}
	return ctx
}

// suites are those for TLS 1.2 that BCP 195 recommends (RFC 9325, section 4.2). FAPI 2.0 permits no
// others (Security Profile, section 5.2.2); Go would add some with CBC. Those of TLS 1.3 are all good.
var suites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
}

// closeWhileDraining asks clients to come back on another connection, so that none of them
// sends a request on one that is about to be closed.
func (s *Server) closeWhileDraining(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// loadCertificate reads a key pair from files, and again when they change.
func loadCertificate(t config.TLS, logger *slog.Logger) (*reloaded[*tls.Certificate], error) {
	return reload("certificate", []string{t.CertFile, t.KeyFile}, logger, func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("load certificate: %w", err)
		}
		return &pair, nil
	})
}
