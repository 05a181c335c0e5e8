package config

import (
	"strings"
	"time"
)

// Algorithms that may sign access tokens.
var Algorithms = []string{"ES256", "RS256", "PS256", "EdDSA"}

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
		Doc:   "Address of the public listener: tokens and keys.",
		field: func(c *Config) value { return str{&c.Listen, address} },
	}, {
		Key: "insecure_http", Default: "false",
		Doc:   "Says that something in front of the server terminates TLS, so that it may listen without TLS on addresses other than loopback.",
		field: func(c *Config) value { return boolean{&c.InsecureHTTP} },
	}, {
		Key:   "tls.cert_file",
		Doc:   "Certificate chain of the public listener, PEM. Read again when it changes.",
		field: func(c *Config) value { return str{&c.TLS.CertFile, nil} },
	}, {
		Key:   "tls.key_file",
		Doc:   "Private key of tls.cert_file, PEM.",
		field: func(c *Config) value { return str{&c.TLS.KeyFile, nil} },
	}, {
		Key:   "tls.client_ca_file",
		Doc:   "Authorities, PEM, whose client certificates prove services (tls_client_auth). Read again when it changes. Empty: that method is off.",
		field: func(c *Config) value { return str{&c.ClientCAFile, nil} },
	}, {
		Key:   "proxy.networks",
		Doc:   "Networks of the proxies that terminate TLS in front of the public listener. Only from there is proxy.certificate_header believed.",
		field: func(c *Config) value { return networks{&c.Proxy.Networks} },
	}, {
		Key: "proxy.certificate_header", Default: "Client-Cert",
		Doc:   "Header in which those proxies pass on the certificate of the client: as RFC 9440 writes it, or PEM, percent-encoded or not.",
		field: func(c *Config) value { return str{&c.Proxy.CertificateHeader, notEmpty} },
	}, {
		Key: "issuer", Default: "http://localhost:8000",
		Doc:   "URL by which clients know this server. Never taken from a request.",
		field: func(c *Config) value { return str{&c.Issuer, issuerURL} },
	}, {
		Key: "plain_issuer", Default: "auth-server",
		Doc:   "The iss of tokens from POST /accesstoken, and the iss and aud of bootstrap credentials. No service can have this name.",
		field: func(c *Config) value { return str{&c.PlainIssuer, notEmpty} },
	}, {
		Key: "data", Default: "./watchword-data",
		Doc:   "Data folder: database, sealing key, operator token and audit log.",
		field: func(c *Config) value { return str{&c.Data, notEmpty} },
	}, {
		Key: "database", Secret: true,
		Doc:   "PostgreSQL URL, as in postgres://user@host:5432/name. Empty: SQLite in the data folder.",
		field: func(c *Config) value { return database{&c.Database} },
	}, {
		Key: "token.ttl", Default: "15m",
		Doc:   "Lifetime of access tokens, where the target service sets none.",
		field: func(c *Config) value { return duration{to: &c.Token.TTL, least: time.Second, most: 30 * day} },
	}, {
		Key: "token.max_ttl", Default: "24h",
		Doc:   "Longest lifetime a target service may set. Also how long a retired key stays published.",
		field: func(c *Config) value { return duration{to: &c.Token.MaxTTL, least: time.Second, most: 30 * day} },
	}, {
		Key: "token.reuse_window", Default: "0s",
		Doc:   "Time for which one token may answer the same question of the same credential again, for bursts. 0: never.",
		field: func(c *Config) value { return duration{&c.Token.ReuseWindow, time.Millisecond, time.Minute, true} },
	}, {
		Key: "oauth.status_list", Default: "true",
		Doc:   "Put a place in a Token Status List into the tokens of the OAuth doors, some 150 bytes each.",
		field: func(c *Config) value { return boolean{&c.OAuth.StatusList} },
	}, {
		Key: "oauth.max_actors", Default: "5",
		Doc:   "Services that may have acted on behalf of another in one token, one after the other (RFC 8693).",
		field: func(c *Config) value { return count{&c.OAuth.MaxActors, 1, 16} },
	}, {
		Key: "oauth.dpop_require_nonce", Default: "false",
		Doc:   "Refuse DPoP proofs that have no nonce of this server (RFC 9449, section 8). Clients then ask twice the first time.",
		field: func(c *Config) value { return boolean{&c.OAuth.DPoPRequireNonce} },
	}, {
		Key:   "oauth.jwks_networks",
		Doc:   "Networks, besides public addresses, in which the jwks_uri of a service may be.",
		field: func(c *Config) value { return networks{&c.OAuth.JWKSNetworks} },
	}, {
		Key: "oauth.authorization_endpoint", Default: "false",
		Doc:   "Name an authorization_endpoint in the metadata, for clients that insist on one. There is none.",
		field: func(c *Config) value { return boolean{&c.OAuth.AuthorizationEndpoint} },
	}, {
		Key: "signing.algorithm", Default: "ES256",
		Doc:   "Algorithm that signs access tokens, where the target service sets none: ES256, RS256, PS256 or EdDSA.",
		field: func(c *Config) value { return str{&c.Signing.Algorithm, oneOf(Algorithms...)} },
	}, {
		Key: "keys.rotate_every", Default: "720h",
		Doc:   "Age at which a signing key is replaced.",
		field: func(c *Config) value { return duration{to: &c.Keys.RotateEvery, least: time.Hour, most: 10 * year} },
	}, {
		Key: "keys.publish_lead", Default: "1h",
		Doc: "Time for which a new key is published before it signs.",
		field: func(c *Config) value {
			return duration{to: &c.Keys.PublishLead, least: 5 * time.Minute, most: 30 * day}
		},
	}, {
		Key: "keys.sealing_key_file", Env: "WATCHWORD_SEALING_KEY_FILE", Default: "<data>/sealing.key",
		Doc:   "File of the key that seals the signing keys at rest. Back it up apart from the database.",
		field: func(c *Config) value { return str{&c.Keys.SealingKeyFile, notEmpty} },
	}, {
		Key: "admin.listen", Default: "127.0.0.1:8010",
		Doc:   "Address of the operator's listener: admin API, health and metrics.",
		field: func(c *Config) value { return str{&c.Admin.Listen, address} },
	}, {
		Key:   "admin.tls.cert_file",
		Doc:   "Certificate chain of the operator's listener, PEM. Read again when it changes.",
		field: func(c *Config) value { return str{&c.Admin.TLS.CertFile, nil} },
	}, {
		Key:   "admin.tls.key_file",
		Doc:   "Private key of admin.tls.cert_file, PEM.",
		field: func(c *Config) value { return str{&c.Admin.TLS.KeyFile, nil} },
	}, {
		Key: "admin.token_file", Default: "<data>/operator.token",
		Doc:   "File of the operator token. Made on first start.",
		field: func(c *Config) value { return str{&c.Admin.TokenFile, notEmpty} },
	}, {
		Key:   "admin.hosts",
		Doc:   "Host names the operator's listener answers to, besides localhost and its own address.",
		field: func(c *Config) value { return list{&c.Admin.Hosts, hostName} },
	}, {
		Key: "supertokens.listen", Default: "127.0.0.1:3567",
		Doc:   "Address of the SuperTokens door. It opens only when supertokens.api_keys has a key.",
		field: func(c *Config) value { return str{&c.SuperTokens.Listen, address} },
	}, {
		Key:   "supertokens.tls.cert_file",
		Doc:   "Certificate chain of the SuperTokens door, PEM. Read again when it changes.",
		field: func(c *Config) value { return str{&c.SuperTokens.TLS.CertFile, nil} },
	}, {
		Key:   "supertokens.tls.key_file",
		Doc:   "Private key of supertokens.tls.cert_file, PEM.",
		field: func(c *Config) value { return str{&c.SuperTokens.TLS.KeyFile, nil} },
	}, {
		Key: "supertokens.api_keys", Secret: true,
		Doc:   "API keys of the SuperTokens door, each of 20 or more of A-Z, a-z, 0-9, '=' and '-'. None: the door stays shut.",
		field: func(c *Config) value { return apiKeys{&c.SuperTokens.APIKeys} },
	}, {
		Key: "supertokens.apps", Default: "public,m2m-auth",
		Doc:   "App ids the SuperTokens door answers for.",
		field: func(c *Config) value { return list{&c.SuperTokens.Apps, appID} },
	}, {
		Key:   "supertokens.base_path",
		Doc:   "Path under which the SuperTokens door is found, as in /auth. Empty: at the root.",
		field: func(c *Config) value { return str{&c.SuperTokens.BasePath, basePath} },
	}, {
		Key: "supertokens.trust_bootstrap", Default: "false",
		Doc:   "Honour bootstrap credentials minted at the SuperTokens door. Whoever has an API key can then speak for every service.",
		field: func(c *Config) value { return boolean{&c.SuperTokens.TrustBootstrap} },
	}, {
		Key: "audit.dir", Default: "<data>/audit",
		Doc:   "Folder of the audit log.",
		field: func(c *Config) value { return str{&c.Audit.Dir, notEmpty} },
	}, {
		Key: "audit.max_size", Default: "64MiB",
		Doc:   "Size at which an audit file is closed and the next begun.",
		field: func(c *Config) value { return size{&c.Audit.MaxSize, 1 << 20, 16 << 30} },
	}, {
		Key: "audit.retention", Default: "365d",
		Doc:   "Age at which a closed audit file is deleted. 0: never.",
		field: func(c *Config) value { return duration{&c.Audit.Retention, day, century, true} },
	}, {
		Key: "probe.every", Default: "0s",
		Doc:   "How often each service that has a probe URL is sent tokens it must refuse. 0: only when asked to.",
		field: func(c *Config) value { return duration{&c.Probe.Every, time.Minute, 30 * day, true} },
	}, {
		Key: "max_staleness", Default: "30s",
		Doc: "Time for which decisions go on while the database is away. Then tokens are refused.",
		field: func(c *Config) value {
			return duration{to: &c.MaxStaleness, least: time.Second, most: 15 * time.Minute}
		},
	}, {
		Key: "shutdown.drain", Default: "0s on loopback, else 5s",
		Doc:    "Time for which a server that was told to stop goes on serving while /readyz already says no, so that balancers notice.",
		field:  func(c *Config) value { return duration{&c.Shutdown.Drain, time.Millisecond, maxDrain, true} },
		derive: drain,
	}, {
		Key: "log.level", Default: "info",
		Doc:   "Least severity that is logged: debug, info, warn or error.",
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
