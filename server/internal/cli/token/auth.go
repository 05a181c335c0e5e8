package token

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// flagsFor are the flags that name what methods of the SDK need. The credential of bootstrap may also be made by the
// operator, and choosePlatform looks for a platform token.
var flagsFor = map[string]string{"ClientID": "as", "Secret": "secret-file", "Key": "key-file", "Certificate": "cert-file"}

// methods are the authentication methods that package client has.
func methods() []api.Name {
	known := map[string]bool{}
	for _, m := range client.Methods() {
		known[m.Name] = true
	}
	return slices.DeleteFunc(api.AuthMethods(), func(n api.Name) bool { return !known[n.Name] })
}

// proof has the flags of token get about the authentication of the service and the binding of the token.
type proof struct {
	as, method                     string
	credentialFile, secretFile     string
	keyFile, certFile, certKeyFile string
	tokenFile                      string
	dpop                           bool
	dpopKeyFile                    string

	platform client.PlatformTokenSource // set by check; nil if the service does not authenticate with a platform token
}

func (p *proof) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&p.as, "as", "", "`service` that calls")
	flags.StringVar(&p.method, "method", "", "authentication `method` of the service: "+base.Names(methods())+" (default the one for the given files)")
	flags.StringVar(&p.credentialFile, "credential-file", "", "`file` with its bootstrap credential")
	flags.StringVar(&p.secretFile, "secret-file", "", "`file` with its client secret")
	flags.StringVar(&p.keyFile, "key-file", "", "`file` with its private key, JWK or PEM")
	flags.StringVar(&p.tokenFile, "token-file", "", "`file` into which its platform writes its token (default WATCHWORD_TOKEN_FILE)")
	flags.StringVar(&p.certFile, "cert-file", "", "`file` with its certificate, PEM, to which the token is then bound")
	flags.StringVar(&p.certKeyFile, "cert-key-file", "", "`file` with the private key of the certificate, PEM (default --key-file)")
	flags.BoolVar(&p.dpop, "dpop", false, "bind the token to a key with DPoP; without --dpop-key-file the key is discarded")
	flags.StringVar(&p.dpopKeyFile, "dpop-key-file", "", "`file` with the private key to which DPoP binds the token, JWK or PEM")
}

// oauth reports whether the token is requested at POST /oauth2/token, and not at POST /accesstoken.
func (p *proof) oauth() bool { return p.method != "" }

// check derives the method from the files, and checks that nothing is missing for it.
func (p *proof) check(c *base.CLI, cmd *cobra.Command) error {
	if p.method != "" {
		var err error
		if p.method, err = base.NameOf(cmd, "--method", methods(), p.method); err != nil {
			return err
		}
	}
	if err := p.choosePlatform(c, cmd); err != nil {
		return err
	}
	if p.method == "" {
		switch {
		case p.credentialFile != "":
		case p.secretFile != "":
			p.method = api.ClientSecretBasic
		case p.keyFile != "" && p.certKeyFile == "" && p.certFile != "":
			return base.Usage(cmd, "--method is missing: with a certificate it is tls_client_auth, self_signed_tls_client_auth or spiffe_x509")
		case p.keyFile != "":
			p.method = api.PrivateKeyJWT
		case p.certFile != "":
			return base.Usage(cmd, "--method is missing: with a certificate it is tls_client_auth, self_signed_tls_client_auth or spiffe_x509")
		}
	}
	if p.credentialFile != "" && (p.secretFile != "" || p.as != "") {
		other := "--as"
		if p.secretFile != "" {
			other = "--secret-file"
		}
		return base.Usage(cmd, "%s and --credential-file both name a credential; give one of them", other)
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
	for _, need := range p.sdkMethod().Needs {
		if flag := flagsFor[need]; flag != "" && cmd.Flag(flag).Value.String() == "" {
			return base.Usage(cmd, "--%s is missing, which %s requires", flag, p.method)
		}
	}
	return nil
}

// choosePlatform sets the source of platform tokens if the service authenticates with one: because --token-file or the
// method says so, or because the environment does and no flag says otherwise. WATCHWORD_TOKEN_FILE says so for --as
// too, since no secret must take the place of that file. A job of GitHub Actions may well be an operator's, who gives
// --as to use the operator token.
func (p *proof) choosePlatform(c *base.CLI, cmd *cobra.Command) error {
	other := "" // flag that proves who the service is
	switch {
	case p.credentialFile != "":
		other = "--credential-file"
	case p.secretFile != "":
		other = "--secret-file"
	case p.keyFile != "" && p.certFile == "": // else it may be the key of a certificate to which the token is bound
		other = "--key-file"
	}
	needed := p.method != "" && slices.Contains(p.sdkMethod().Needs, "Platform")
	byEnvironment := p.method == "" && other == "" && p.certFile == "" &&
		(c.Getenv("WATCHWORD_TOKEN_FILE") != "" || p.as == "" && (c.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL") != "" || c.Getenv("GITHUB_ACTIONS") == "true"))
	switch {
	case p.tokenFile != "" && other != "":
		return base.Usage(cmd, "%s and --token-file both prove who the service is; give one of them", other)
	case p.tokenFile != "" && p.method != "" && !needed:
		return base.Usage(cmd, "%s does not use --token-file; leave out one of them", p.method)
	case p.tokenFile != "":
		if err := base.TokenAsFile(cmd, "token-file", p.tokenFile); err != nil {
			return err
		}
		p.platform = client.TokenFile(p.tokenFile)
	case needed || byEnvironment:
		var err error
		if p.platform, err = client.PlatformFromEnvironment(c.Getenv); err != nil {
			return base.Usage(cmd, "--token-file is missing, and %v", err)
		}
	default:
		return nil
	}
	p.method = cmp.Or(p.method, api.WorkloadJWT)
	p.as = cmp.Or(p.as, c.Getenv("WATCHWORD_CLIENT_ID"))
	return nil
}

// platformError is an error of a source of platform tokens. It says itself what to do.
type platformError struct{ error }

// told marks the errors of a source as its own.
type told struct{ client.PlatformTokenSource }

func (s told) Token(ctx context.Context, audience string) (string, error) {
	token, err := s.PlatformTokenSource.Token(ctx, audience)
	if err != nil {
		err = platformError{err}
	}
	return token, err
}

// sdkMethod is the method in the SDK.
func (p *proof) sdkMethod() client.Method {
	all := client.Methods()
	return all[slices.IndexFunc(all, func(m client.Method) bool { return m.Name == p.method })]
}

// config makes the configuration of a client that authenticates with credential if the method is bootstrap, and
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
	cfg.Auth = p.sdkMethod().New(client.Identity{ClientID: p.as, Secret: client.File(p.secretFile), Key: client.KeyFile(p.keyFile), Credential: credential, Platform: told{p.platform}})
	return cfg, nil
}

// privateKey reads a private key, JWK or PEM. Errors contain nothing of the key.
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
		return nil, fmt.Errorf("%s: %w", name, errors.New("it contains neither a private JWK nor a PRIVATE KEY in PEM"))
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	signer, ok := key.(crypto.Signer)
	if err != nil || !ok {
		return nil, fmt.Errorf("%s: %w", name, errors.New("the private key cannot be parsed"))
	}
	return signer, nil
}
