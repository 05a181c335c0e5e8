package token

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// tokenMethods are the ways to prove who asks, by the names people write, and what each needs.
var tokenMethods = []struct {
	name, method string
	needs        []string // flags
}{
	{"bootstrap", "bootstrap", nil},
	{"secret-basic", "client_secret_basic", []string{"as", "secret-file"}},
	{"secret-post", "client_secret_post", []string{"as", "secret-file"}},
	{"private-key-jwt", "private_key_jwt", []string{"as", "key-file"}},
	{"tls", "tls_client_auth", []string{"as", "cert-file"}},
	{"self-signed-tls", "self_signed_tls_client_auth", []string{"as", "cert-file"}},
}

func tokenMethodNames() string {
	var names []string
	for _, m := range tokenMethods {
		names = append(names, m.name)
	}
	return strings.Join(names, ", ")
}

// proof is what the flags of token get say about who asks, and how the token is to be bound.
type proof struct {
	as, method                     string
	credentialFile, secretFile     string
	keyFile, certFile, certKeyFile string
	dpop                           bool
	dpopKeyFile                    string
}

func (p *proof) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.as, "as", "", "service that calls")
	flags.StringVar(&p.method, "method", "", "how it proves itself: "+tokenMethodNames()+" (default: by the files named)")
	flags.StringVar(&p.credentialFile, "credential-file", "", "file of its bootstrap credential")
	flags.StringVar(&p.secretFile, "secret-file", "", "file of its client secret")
	flags.StringVar(&p.keyFile, "key-file", "", "file of its private key, JWK or PEM")
	flags.StringVar(&p.certFile, "cert-file", "", "file of its certificate, PEM, to which the token is then bound")
	flags.StringVar(&p.certKeyFile, "cert-key-file", "", "file of the certificate's private key, PEM (default: --key-file)")
	flags.BoolVar(&p.dpop, "dpop", false, "bind the token to a key by DPoP; without --dpop-key-file, to one that nobody has afterwards")
	flags.StringVar(&p.dpopKeyFile, "dpop-key-file", "", "file of the private key to bind the token to, JWK or PEM")
}

// oauth says whether the OAuth door is asked, and not POST /accesstoken.
func (p *proof) oauth() bool { return p.method != "" }

// check finds the method that the files are for, and what is missing for it.
func (p *proof) check(cmd *cobra.Command) error {
	if p.method == "" {
		switch {
		case p.credentialFile != "":
		case p.secretFile != "":
			p.method = "secret-basic"
		case p.keyFile != "" && p.certKeyFile == "" && p.certFile != "":
			return base.Usage(cmd, "--method is missing: a certificate is for tls or self-signed-tls")
		case p.keyFile != "":
			p.method = "private-key-jwt"
		case p.certFile != "":
			return base.Usage(cmd, "--method is missing: a certificate is for tls or self-signed-tls")
		}
	}
	if p.credentialFile != "" && (p.secretFile != "" || p.as != "") {
		other := "--as"
		if p.secretFile != "" {
			other = "--secret-file"
		}
		return base.Usage(cmd, "%s and --credential-file name two credentials", other)
	}
	if p.certKeyFile == "" {
		p.certKeyFile = p.keyFile
	}
	if p.certFile != "" && p.certKeyFile == "" {
		return base.Usage(cmd, "--cert-key-file is missing")
	}
	p.dpop = p.dpop || p.dpopKeyFile != ""
	if p.method == "" {
		return nil
	}
	for _, m := range tokenMethods {
		if m.name != p.method {
			continue
		}
		for _, flag := range m.needs {
			if cmd.Flag(flag).Value.String() == "" {
				return base.Usage(cmd, "--%s is missing, which %s needs", flag, m.name)
			}
		}
		return nil
	}
	return base.Usage(cmd, "--method: %q is not one of %s", p.method, tokenMethodNames())
}

// config is that of a client which proves itself with credential, when the method is bootstrap, or
// else with the files.
func (p *proof) config(credential client.CredentialSource) (cfg client.Config, err error) {
	if p.dpop {
		cfg.DPoP = &client.DPoP{}
		if p.dpopKeyFile != "" {
			if cfg.DPoP.Key, err = privateKey(p.dpopKeyFile); err != nil {
				return cfg, err
			}
		}
	}
	if p.certFile != "" {
		cfg.Certificate = client.CertificateFiles(p.certFile, p.certKeyFile)
	}
	if !p.oauth() {
		cfg.Credential = credential
		return cfg, nil
	}
	name := ""
	for _, m := range tokenMethods {
		if m.name == p.method {
			name = m.method
		}
	}
	for _, m := range client.Methods() {
		if m.Name == name {
			cfg.Auth = m.New(client.Identity{ClientID: p.as, Secret: client.File(p.secretFile), Key: client.KeyFile(p.keyFile), Credential: credential})
		}
	}
	return cfg, nil
}

// privateKey reads a key in either form. Errors have nothing of it.
func privateKey(name string) (crypto.Signer, error) {
	raw, err := base.ReadFile(name)
	if err != nil {
		return nil, err
	}
	raw = bytes.TrimSpace(raw)
	if bytes.HasPrefix(raw, []byte("{")) {
		s, err := jose.ParsePrivateJWK(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return s.Key(), nil
	}
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("%s: %w", name, errors.New("neither a private JWK nor PRIVATE KEY in PEM"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: %w", name, errors.New("the private key cannot be read"))
	}
	return signer, nil
}
