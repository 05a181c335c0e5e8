package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// Setting is one row of the table that the loader, the flags, "config print" and the
// documentation range over.
type Setting struct {
	Key     string // in the file: "token.ttl" is ttl under token
	Env     string
	Flag    string // without dashes; empty when the value is a secret
	Default string // "<data>" stands for the data folder
	Doc     string
	// Secret values are redacted, and have a variant, by the names below, that names a file
	// which holds the value.
	Secret   bool
	FileKey  string
	FileEnv  string
	FileFlag string

	field func(*Config) value
	// derive makes the default when it depends on the rest of the configuration.
	derive func(*Config) string
}

// Settings returns the table, in the order of the documentation.
func Settings() []Setting {
	all := make([]Setting, len(table))
	for i, s := range table {
		name := strings.ReplaceAll(s.Key, ".", "_")
		if s.Env == "" {
			s.Env = "WATCHWORD_" + strings.ToUpper(name)
		}
		flag := strings.ReplaceAll(name, "_", "-")
		if s.Secret {
			s.FileKey, s.FileEnv, s.FileFlag = s.Key+"_file", s.Env+"_FILE", flag+"-file"
		} else {
			s.Flag = flag
		}
		if s.Key == "database" { // its flag is worth having, and refuses a password
			s.Flag = flag
		}
		all[i] = s
	}
	return all
}

const century = 100 * year

var table = []Setting{
	{
		Key: "listen", Default: "127.0.0.1:8000",
		Doc:   "Address of the public listener, where services get tokens and keys.",
		field: func(c *Config) value { return str{&c.Listen, address} },
	}, {
		Key: "insecure_http", Default: "false",
		Doc:   "Allow listening without TLS on addresses other than loopback, because a proxy in front of the server terminates TLS.",
		field: func(c *Config) value { return boolean{&c.InsecureHTTP} },
	}, {
		Key:   "tls.cert_file",
		Doc:   "File with the certificate chain of the public listener, PEM. It is read again when it changes.",
		field: func(c *Config) value { return str{&c.TLS.CertFile, nil} },
	}, {
		Key:   "tls.key_file",
		Doc:   "File with the private key for tls.cert_file, PEM.",
		field: func(c *Config) value { return str{&c.TLS.KeyFile, nil} },
	}, {
		Key:   "tls.client_ca_file",
		Doc:   "File with the authorities, PEM, whose client certificates authenticate services (tls_client_auth). It is read again when it changes. If empty, that method is off.",
		field: func(c *Config) value { return str{&c.ClientCAFile, nil} },
	}, {
		Key:   "proxy.networks",
		Doc:   "Networks of the proxies in front of the server. Only what comes from there is believed about the client's address and certificate.",
		field: func(c *Config) value { return networks{&c.Proxy.Networks} },
	}, {
		Key: "proxy.address_header", Default: "X-Forwarded-For",
		Doc:   "Header in which those proxies pass on the address of the client: X-Forwarded-For, Forwarded (RFC 7239), or another of the form of X-Forwarded-For. Each proxy must add to it or replace it. The rightmost address that is not a proxy's counts, in records, limits and the networks of credentials and rules. Empty: the address of the connection counts.",
		field: func(c *Config) value { return str{&c.Proxy.AddressHeader, nil} },
	}, {
		Key: "proxy.protocol", Default: "false",
		Doc:   "Connections from proxy.networks begin with a header of the PROXY protocol, version 1 or 2, which names the client. One without it is closed. This is so for the listeners of services and of SuperTokens clients; the operators' listener does not speak the PROXY protocol, so that commands and health checks on the machine of the proxy reach it.",
		field: func(c *Config) value { return boolean{&c.Proxy.Protocol} },
	}, {
		Key:   "proxy.certificate_header",
		Doc:   "Header in which those proxies pass the certificate of the client, as in RFC 9440 (Client-Cert) or as PEM, percent-encoded or not. Set it only if each of them terminates TLS and removes this header from requests of clients: who can send it can authenticate as any service that uses certificates. If empty, no certificates are taken from proxies; with proxy.protocol, the TLS connection is then that of the client, and so is its certificate.",
		field: func(c *Config) value { return str{&c.Proxy.CertificateHeader, nil} },
	}, {
		Key: "issuer", Default: "http://localhost:8000, or the host, port and scheme of listen",
		Doc:    "URL by which clients know this server, and the iss of tokens from the OAuth endpoints. It is never taken from a request. The server warns at its start if clients on this machine cannot reach listen at this URL.",
		field:  func(c *Config) value { return str{&c.Issuer, issuerURL} },
		derive: issuerOfListener,
	}, {
		Key: "plain_issuer", Default: "auth-server",
		Doc:   "The iss of tokens from POST /accesstoken, and the iss and aud of bootstrap credentials. No service can have this name. It may be the same as issuer; bootstrap credentials that were created with another value are then refused.",
		field: func(c *Config) value { return str{&c.PlainIssuer, notEmpty} },
	}, {
		Key: "data", Default: "./watchword-data",
		Doc:   "Data folder, with the database, the sealing key, the operator token and the audit log.",
		field: func(c *Config) value { return str{&c.Data, notEmpty} },
	}, {
		Key: "database", Secret: true,
		Doc:   "PostgreSQL URL, as in postgres://user@host:5432/name. If empty, the database is SQLite in the data folder. On another machine, the database must prove with a certificate that it is this host (sslmode=verify-full), unless the URL names another sslmode.",
		field: func(c *Config) value { return database{&c.Database} },
	}, {
		Key: "token.ttl", Default: "15m",
		Doc:   "Lifetime of access tokens for services that do not set one.",
		field: func(c *Config) value { return duration{to: &c.Token.TTL, least: time.Second, most: 30 * day} },
	}, {
		Key: "token.max_ttl", Default: "24h",
		Doc:   "Longest lifetime that a service may set for tokens to it. A retired key stays published for this time.",
		field: func(c *Config) value { return duration{to: &c.Token.MaxTTL, least: time.Second, most: 30 * day} },
	}, {
		Key: "token.reuse_window", Default: "0s",
		Doc:   "Time during which the same request with the same credential may be answered with the same token. 0 means never.",
		field: func(c *Config) value { return duration{&c.Token.ReuseWindow, time.Millisecond, time.Minute, true} },
	}, {
		Key: "oauth.status_list", Default: "true",
		Doc:   "Include a Token Status List reference, of about 150 bytes, in tokens from the OAuth endpoints.",
		field: func(c *Config) value { return boolean{&c.OAuth.StatusList} },
	}, {
		Key: "oauth.max_actors", Default: "5",
		Doc:   "Number of exchanges that may lead to one token, and so of the services that may act in it (RFC 8693).",
		field: func(c *Config) value { return count{&c.OAuth.MaxActors, 1, 16} },
	}, {
		Key: "oauth.dpop_require_nonce", Default: "false",
		Doc:   "Refuse DPoP proofs without a nonce of this server (RFC 9449, section 8). A client's first request is then answered with a nonce.",
		field: func(c *Config) value { return boolean{&c.OAuth.DPoPRequireNonce} },
	}, {
		Key:   "oauth.jwks_networks",
		Doc:   "Networks, in addition to public addresses, from which the keys of services and of trusts may be fetched.",
		field: func(c *Config) value { return networks{&c.OAuth.JWKSNetworks} },
	}, {
		Key: "oauth.authorization_endpoint", Default: "false",
		Doc:   "Include an authorization_endpoint in the metadata, for clients that require one. No such endpoint exists.",
		field: func(c *Config) value { return boolean{&c.OAuth.AuthorizationEndpoint} },
	}, {
		Key: "signing.algorithm", Default: "ES256",
		Doc:   "Algorithm that signs access tokens for services that do not set one: " + strings.Join(api.NamesOf(api.Algorithms()), ", ") + ".",
		field: func(c *Config) value { return str{&c.Signing.Algorithm, oneOf(api.NamesOf(api.Algorithms())...)} },
	}, {
		Key: "keys.rotate_every", Default: "720h",
		Doc:   "Age at which a signing key is replaced.",
		field: func(c *Config) value { return duration{to: &c.Keys.RotateEvery, least: time.Hour, most: 10 * year} },
	}, {
		Key: "keys.publish_lead", Default: "1h",
		Doc: "Time during which a new key is published before it signs.",
		field: func(c *Config) value {
			return duration{to: &c.Keys.PublishLead, least: 5 * time.Minute, most: 30 * day}
		},
	}, {
		Key: "keys.sealing_key_file", Env: "WATCHWORD_SEALING_KEY_FILE", Default: "<data>/sealing.key",
		Doc:   "File with the key that encrypts the signing keys at rest. Back it up separately from the database.",
		field: func(c *Config) value { return str{&c.Keys.SealingKeyFile, notEmpty} },
	}, {
		Key: "admin.listen", Default: "127.0.0.1:8010",
		Doc:   "Address of the operator's listener, with the operator API, health checks and metrics.",
		field: func(c *Config) value { return str{&c.Admin.Listen, address} },
	}, {
		Key:   "admin.tls.cert_file",
		Doc:   "File with the certificate chain of the operator's listener, PEM. It is read again when it changes.",
		field: func(c *Config) value { return str{&c.Admin.TLS.CertFile, nil} },
	}, {
		Key:   "admin.tls.key_file",
		Doc:   "File with the private key for admin.tls.cert_file, PEM.",
		field: func(c *Config) value { return str{&c.Admin.TLS.KeyFile, nil} },
	}, {
		Key: "admin.token_file", Default: "<data>/operator.token",
		Doc:   "File with the operator token. It is created on the first start.",
		field: func(c *Config) value { return str{&c.Admin.TokenFile, notEmpty} },
	}, {
		Key:   "admin.trust_token_file",
		Doc:   "File with the token of the trust operator, which must not be the operator token. It is created on the first start. If it is set, only this token may change trusts and the credentials that name them. It may read everything, and change nothing else.",
		field: func(c *Config) value { return str{&c.Admin.TrustTokenFile, nil} },
	}, {
		Key:   "admin.hosts",
		Doc:   "Host names that the operator's listener answers to, in addition to localhost and its own address.",
		field: func(c *Config) value { return list{&c.Admin.Hosts, hostName} },
	}, {
		Key: "supertokens.listen", Default: "127.0.0.1:3567",
		Doc:   "Address of the SuperTokens listener, which is on only if supertokens.api_keys has a key.",
		field: func(c *Config) value { return str{&c.SuperTokens.Listen, address} },
	}, {
		Key:   "supertokens.tls.cert_file",
		Doc:   "File with the certificate chain of the SuperTokens listener, PEM. It is read again when it changes.",
		field: func(c *Config) value { return str{&c.SuperTokens.TLS.CertFile, nil} },
	}, {
		Key:   "supertokens.tls.key_file",
		Doc:   "File with the private key for supertokens.tls.cert_file, PEM.",
		field: func(c *Config) value { return str{&c.SuperTokens.TLS.KeyFile, nil} },
	}, {
		Key: "supertokens.api_keys", Secret: true,
		Doc:   "API keys of the SuperTokens listener. Each has at least 20 of the characters A-Z, a-z, 0-9, '=' and '-'. Without a key the listener is off.",
		field: func(c *Config) value { return apiKeys{&c.SuperTokens.APIKeys} },
	}, {
		Key: "supertokens.apps", Default: "public,m2m-auth",
		Doc:   "App ids that the SuperTokens listener serves.",
		field: func(c *Config) value { return list{&c.SuperTokens.Apps, appID} },
	}, {
		Key:   "supertokens.base_path",
		Doc:   "Path prefix of the SuperTokens listener, as in /auth. If empty, there is none.",
		field: func(c *Config) value { return str{&c.SuperTokens.BasePath, basePath} },
	}, {
		Key: "supertokens.trust_bootstrap", Default: "false",
		Doc:   "Accept bootstrap credentials that were created at the SuperTokens listener. Everybody who has an API key can then act as any service.",
		field: func(c *Config) value { return boolean{&c.SuperTokens.TrustBootstrap} },
	}, {
		Key: "audit.dir", Default: "<data>/audit",
		Doc:   "Folder of the audit log.",
		field: func(c *Config) value { return str{&c.Audit.Dir, notEmpty} },
	}, {
		Key: "audit.max_size", Default: "64MiB",
		Doc:   "Size at which a file of the audit log is closed and the next one is started.",
		field: func(c *Config) value { return size{&c.Audit.MaxSize, 1 << 20, 16 << 30} },
	}, {
		Key: "audit.retention", Default: "365d",
		Doc:   "Age at which a closed file of the audit log is deleted. 0 means never.",
		field: func(c *Config) value { return duration{&c.Audit.Retention, day, century, true} },
	}, {
		Key: "probe.every", Default: "0s",
		Doc:   "How often each service that has a probe URL is probed. 0 means only on request.",
		field: func(c *Config) value { return duration{&c.Probe.Every, time.Minute, 30 * day, true} },
	}, {
		Key: "max_staleness", Default: "30s",
		Doc: "Time for which the server continues to issue tokens while it cannot reach the database. After that it refuses.",
		field: func(c *Config) value {
			return duration{to: &c.MaxStaleness, least: time.Second, most: 15 * time.Minute}
		},
	}, {
		Key: "shutdown.drain", Default: "0s on loopback, else 5s",
		Doc:    "Time for which a server that is stopping continues to serve while /readyz already answers 503, so that load balancers notice.",
		field:  func(c *Config) value { return duration{&c.Shutdown.Drain, time.Millisecond, maxDrain, true} },
		derive: drain,
	}, {
		Key: "log.level", Default: "info",
		Doc:   "Lowest severity that is logged: debug, info, warn or error.",
		field: func(c *Config) value { return level{&c.Log.Level} },
	}, {
		Key: "log.format", Default: "text",
		Doc:   "Format of the log: text or json.",
		field: func(c *Config) value { return str{&c.Log.Format, oneOf("text", "json")} },
	},
}

// maxDrain leaves two of the ten seconds a supervisor commonly waits to the requests that
// are still running.
const maxDrain = 8 * time.Second

// drain is nothing on a developer's machine, where Ctrl-C should end the server, and elsewhere
// the time in which balancers commonly notice.
func drain(c *Config) string {
	if loopback(c.Listen) {
		return "0s"
	}
	return "5s"
}

// issuerOfListener is the URL by which programs on this machine reach the public listener. The address of the default
// listener is called localhost, as is every address that stands for all of this machine.
func issuerOfListener(c *Config) string {
	host, port, err := net.SplitHostPort(c.Listen)
	if ip, notIP := netip.ParseAddr(host); err != nil || port == "0" { // a port that only the running system knows
		host, port = "localhost", "8000"
	} else if notIP == nil && (ip.IsUnspecified() || ip == netip.AddrFrom4([4]byte{127, 0, 0, 1})) || host == "" {
		host = "localhost"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	if c.TLS.Enabled() {
		u.Scheme = "https"
	}
	if port == defaultPort[u.Scheme] {
		u.Host = strings.TrimSuffix(u.Host, ":"+port)
	}
	return u.String()
}

// defaultPort has the ports that a URL leaves out.
var defaultPort = map[string]string{"http": "80", "https": "443"}
