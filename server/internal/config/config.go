// Package config answers how this server is set up: one Config, from defaults, a strict
// YAML file, the environment and flags, in this order, the later over the earlier. It reports
// every problem at once. It opens no listener, database or certificate, so it does not know
// whether what it was told exists.
package config

import (
	"log/slog"
	"net/netip"
	"time"
)

// Config is how a server is set up. Load makes one that is consistent; its fields are listed,
// with the names and the reasons operators see, in the table of Settings.
type Config struct {
	Listen       string
	InsecureHTTP bool
	TLS          TLS
	// ClientCAFile has the authorities whose certificates prove clients. Empty: none do.
	ClientCAFile string
	Proxy        Proxy
	Issuer       string
	PlainIssuer  string
	Data         string
	// Database is a postgres URL, or empty for SQLite in Data.
	Database Secret

	Token       Token
	OAuth       OAuth
	Signing     Signing
	Keys        Keys
	Admin       Admin
	SuperTokens SuperTokens
	Audit       Audit
	Probe       Probe

	MaxStaleness time.Duration
	Shutdown     Shutdown
	Log          Log
}

// TLS of one listener, from files. Both are empty (plain HTTP) or neither.
type TLS struct{ CertFile, KeyFile string }

// Enabled reports whether the listener speaks TLS.
func (t TLS) Enabled() bool { return t.CertFile != "" }

// Token is about the access tokens issued.
type Token struct {
	TTL    time.Duration
	MaxTTL time.Duration
	// ReuseWindow for which one token may answer a burst of the same question. Zero: never.
	ReuseWindow time.Duration
}

// Proxy is the reverse proxy in front of the public listener that is trusted.
type Proxy struct {
	Networks []netip.Prefix
	// AddressHeader carries the address of the client, in requests from Networks only. Empty: none does.
	AddressHeader string
	// Protocol requires the PROXY protocol of connections from Networks, but not to the operators' listener.
	Protocol bool
	// CertificateHeader has the certificate of the client, in requests from Networks only. If empty, no header does.
	CertificateHeader string
}

// OAuth is about the OAuth endpoints.
type OAuth struct {
	// StatusList puts a place in a status list into tokens.
	StatusList bool
	// MaxActors bounds how many services may have acted in one token.
	MaxActors int
	// DPoPRequireNonce refuses DPoP proofs without a nonce of this server.
	DPoPRequireNonce bool
	// JWKSNetworks are networks besides public ones in which a jwks_uri may be.
	JWKSNetworks []netip.Prefix
	// AuthorizationEndpoint names one in the metadata, which there is not.
	AuthorizationEndpoint bool
}

// Signing is how access tokens are signed.
type Signing struct {
	// Algorithm is one of api.Algorithms.
	Algorithm string
}

// Keys is about the key ring.
type Keys struct {
	RotateEvery    time.Duration
	PublishLead    time.Duration
	SealingKeyFile string
}

// Admin is about the operator's listener.
type Admin struct {
	Listen    string
	TLS       TLS
	TokenFile string
	// TrustTokenFile has the token of the trust operator. Empty: there is none.
	TrustTokenFile string
	// Hosts are names, besides those of Listen and loopback, a Host header may have.
	Hosts []string
}

// SuperTokens is about the SuperTokens interface.
type SuperTokens struct {
	Listen  string
	TLS     TLS
	APIKeys []Secret
	Apps    []string
	// BasePath is empty or begins with a slash and does not end with one.
	BasePath       string
	TrustBootstrap bool
}

// Enabled reports whether the interface is served: only when there is an API key.
func (s SuperTokens) Enabled() bool { return len(s.APIKeys) > 0 }

// Audit is about the audit log.
type Audit struct {
	Dir     string
	MaxSize int64
	// Retention of closed files. Zero: for ever.
	Retention time.Duration
}

// Probe is about probing services without being asked to.
type Probe struct {
	// Every is how often each service that has a probe URL is probed. Zero: never.
	Every time.Duration
}

// Shutdown is about the end of the process.
type Shutdown struct {
	// Drain is how long the server goes on serving after it began to answer "not ready".
	Drain time.Duration
}

// Log is about the server's own log, on stderr.
type Log struct {
	Level  slog.Level
	Format string // text or json
}
