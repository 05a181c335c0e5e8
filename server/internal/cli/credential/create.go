package credential

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
)

// newCredential has the flags of credential create.
type newCredential struct {
	api.NewCredential
	ttl, notBefore string

	out, outCert, public, certificate, algorithm string
	subject                                      api.TLSSubject

	claims    []string
	fromToken string // file of a platform's token, or platform.Stdin
}

// kindFlags has the flags that apply to some kinds only.
var kindFlags = map[string][]string{
	"out":      {api.KindBootstrap, api.KindSecret, api.KindKey, api.KindCertificate},
	"out-cert": {api.KindCertificate}, "algorithm": {api.KindKey, api.KindCertificate},
	"public": {api.KindKey}, "jwks-uri": {api.KindJWKS}, "certificate": {api.KindCertificate},
	"dn": {api.KindTLSSubject}, "dns": {api.KindTLSSubject}, "uri": {api.KindTLSSubject}, "ip": {api.KindTLSSubject}, "email": {api.KindTLSSubject},
	"trust": {api.KindWorkload}, "claim": {api.KindWorkload}, "from-token": {api.KindWorkload},
}

func credentialCreate(c *base.CLI) *cobra.Command {
	var n newCredential
	cmd := &cobra.Command{
		Use:   "create SERVICE",
		Short: "Create a credential for a service",
		Long: `Creates a credential for a service. The flag --kind is one of these:

  bootstrap    a long-lived token that the server creates
  secret       a client secret that the server creates
  key          a new key pair, or with --public the public key of a pair that exists
  jwks         the keys that the service publishes at --jwks-uri
  certificate  a new self-signed certificate, or with --certificate one that exists
  tls_subject  certificates of a trusted authority in which the name is --dn, --dns, --uri, --ip
               or --email
  workload     tokens of the platform --trust that have the claims --claim; with --from-token the
               command proposes the claims from a token that it reads from standard input, or from
               the file in --from-token=FILE, and asks

What is secret is written to standard output, or to a new file that only you can read (--out). The
server does not store it and cannot show it again. The private key of a pair that is made here
goes to --out, as PEM if the name ends in .pem and else as a JWK, and is not sent to the server.

A credential expires after 90 days, or after --ttl, which is at most 100 years. One of the kind
workload, which has no secret, expires after 100 years.`,
		Example: `  watchword credential create m1 --out m1.jwt
  watchword credential create m1 --ttl 30d --name "blue cluster" --cidr 10.1.0.0/16 --out m1.jwt
  watchword credential create m1 | kubectl create secret generic m1 --from-file=jwt=/dev/stdin
  watchword credential create m1 --kind secret --out m1.secret
  watchword credential create m1 --kind key --algorithm EdDSA --out m1.jwk
  watchword credential create m1 --kind key --public m1-public.pem
  watchword credential create m1 --kind jwks --jwks-uri https://m1.example.com/jwks.json
  watchword credential create m1 --kind certificate --out m1-key.pem --out-cert m1-cert.pem
  watchword credential create m1 --kind tls_subject --dns m1.example.com
  watchword credential create m1 --from-token=/var/run/secrets/watchword/token
  watchword credential create m1 --kind workload --trust corp --claim sub=m1`,
		Args: func(cmd *cobra.Command, args []string) error {
			return platform.MistakenFile(cmd, base.Exactly("SERVICE")(cmd, args), args, "from-token")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := n.check(cmd); err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			issue := func(ctx context.Context) (api.RotatedCredential, error) {
				issued, err := admin.CreateCredential(ctx, args[0], n.NewCredential)
				return api.RotatedCredential{IssuedCredential: issued}, base.UnknownService(base.PerhapsIssued(err), args[0])
			}
			switch n.Kind {
			case api.KindBootstrap, api.KindSecret:
				return issueSecret(c, cmd.Context(), admin, n.out, issue)
			case api.KindKey:
				return issueKey(c, cmd.Context(), &n, issue)
			case api.KindWorkload:
				if n.fromToken != "" {
					return fromToken(c, cmd, admin, args[0], &n, issue)
				}
			case api.KindCertificate:
				return issueCertificate(c, cmd.Context(), &n, args[0], issue)
			}
			return register(c, cmd.Context(), issue)
		},
	}
	n.define(cmd)
	return base.WithConfirmation(c.WithJSON(cmd))
}

func (n *newCredential) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&n.Kind, "kind", api.KindBootstrap, "`kind` of credential: "+base.Names(api.CredentialKinds()))
	flags.StringVar(&n.ttl, "ttl", "", "`lifetime`, as in 30d or 1y (default 90d)")
	flags.StringVar(&n.notBefore, "not-before", "", "`time` from which the credential is valid, as in 2027-01-01 (default now)")
	flags.StringVar(&n.Name, "name", "", "`text` that describes the purpose of the credential")
	flags.StringVar(&n.CIDR, "cidr", "", "`network` from which the credential may be used, as in 10.1.0.0/16")
	flags.StringVar(&n.out, "out", "", "write the secret or the private key to this new `file`, which only you can read")
	flags.StringVar(&n.algorithm, "algorithm", string(jose.ES256), "`algorithm` of the new key: "+jose.List(jose.ClientAlgorithms()))
	flags.StringVar(&n.public, "public", "", "`file` with a public key, JWK or PEM")
	flags.StringVar(&n.JWKSURI, "jwks-uri", "", "https `URL` at which the service publishes its keys")
	flags.StringVar(&n.certificate, "certificate", "", "`file` with a certificate, PEM")
	flags.StringVar(&n.outCert, "out-cert", "", "write the new certificate to this new `file`")
	flags.StringVar(&n.subject.DN, "dn", "", "distinguished `name` in the certificates, as in CN=m1,O=Example")
	flags.StringVar(&n.subject.DNS, "dns", "", "host `name` in the certificates")
	flags.StringVar(&n.subject.URI, "uri", "", "`URI` in the certificates")
	flags.StringVar(&n.subject.IP, "ip", "", "IP `address` in the certificates")
	flags.StringVar(&n.subject.Email, "email", "", "e-mail `address` in the certificates")
	flags.StringVar(&n.Trust, "trust", "", "`name` of the trust whose tokens prove the service")
	flags.StringArrayVar(&n.claims, "claim", nil, "`NAME=VALUE` that a token must have; may be repeated")
	platform.OptionalFile(cmd, &n.fromToken, "from-token", platform.Stdin, "propose the claims from a token of the platform in this `file`, or on standard input")
}

// check reads the flags that are texts of something else, and checks that the flags fit each other.
func (n *newCredential) check(cmd *cobra.Command) (err error) {
	if n.fromToken != "" && !cmd.Flags().Changed("kind") {
		n.Kind = api.KindWorkload
	}
	if n.Kind, err = base.NameOf(cmd, "--kind", api.CredentialKinds(), n.Kind); err != nil {
		return err
	}
	for flag, kinds := range kindFlags {
		if cmd.Flags().Changed(flag) && !slices.Contains(kinds, n.Kind) {
			return base.Usage(cmd, "--%s applies to --kind %s only", flag, strings.Join(kinds, " and "))
		}
	}
	if n.ttl != "" {
		if n.TTLSeconds, err = base.Seconds(cmd, "--ttl", n.ttl); err != nil {
			return err
		}
		if n.TTLSeconds == 0 {
			return base.Usage(cmd, "--ttl: the lifetime must be longer than 0, as in 90d")
		}
	}
	if n.notBefore != "" {
		at, err := base.ParseMoment(n.notBefore)
		if err != nil {
			return base.Usage(cmd, "--not-before: %v", err)
		}
		n.NotBefore = &at
	}
	switch made := n.out != ""; n.Kind {
	case api.KindKey:
		if made == (n.public != "") {
			return base.Usage(cmd, "give either --out, for a new key, or --public, for a key that exists")
		}
	case api.KindCertificate:
		if made == (n.certificate != "") || made != (n.outCert != "") {
			return base.Usage(cmd, "give either --out and --out-cert, for a new certificate, or --certificate, for one that exists")
		}
	case api.KindJWKS:
		if n.JWKSURI == "" {
			return base.Usage(cmd, "--jwks-uri is missing")
		}
	case api.KindTLSSubject:
		return n.checkSubject(cmd)
	case api.KindWorkload:
		return n.checkWorkload(cmd)
	}
	if !slices.Contains(jose.ClientAlgorithms(), jose.Algorithm(n.algorithm)) {
		return base.Usage(cmd, "--algorithm: %q is not one of %s", n.algorithm, jose.List(jose.ClientAlgorithms()))
	}
	return nil
}

// checkWorkload: which claims a credential must name depends on the trust, so the server checks it.
func (n *newCredential) checkWorkload(cmd *cobra.Command) error {
	switch {
	case n.fromToken != "" && len(n.claims) > 0:
		return base.Usage(cmd, "--from-token and --claim both name claims")
	case n.fromToken == "" && n.Trust == "":
		return base.Usage(cmd, "give --trust and --claim, or --from-token")
	}
	n.Claims = map[string]string{}
	for _, text := range n.claims {
		name, value, ok := strings.Cut(text, "=")
		switch _, twice := n.Claims[name]; {
		case !ok || name == "":
			return base.Usage(cmd, "--claim: %q is not NAME=VALUE", text)
		case twice:
			return base.Usage(cmd, "--claim: %s is there twice", name)
		}
		n.Claims[name] = value
	}
	return nil
}

// checkSubject: RFC 8705, section 2.1.2: exactly one.
func (n *newCredential) checkSubject(cmd *cobra.Command) error {
	n.TLSSubject = &n.subject
	given := 0
	for _, name := range []string{n.subject.DN, n.subject.DNS, n.subject.URI, n.subject.IP, n.subject.Email} {
		if name != "" {
			given++
		}
	}
	if given != 1 {
		return base.Usage(cmd, "give exactly one of --dn, --dns, --uri, --ip and --email")
	}
	return nil
}

// issueCall makes a credential, in the place of another when that is in the answer.
type issueCall func(context.Context) (api.RotatedCredential, error)

// register creates a credential whose private key the service has already.
func register(c *base.CLI, ctx context.Context, issue issueCall) error {
	issued, err := issue(ctx)
	if err != nil {
		return err
	}
	sayIssued(c, issued)
	if c.JSON {
		return c.PrintJSON(map[string]any{"credential": issued.Credential})
	}
	return printCredential(c, issued.Credential)
}

func sayIssued(c *base.CLI, i api.RotatedCredential) {
	cr := i.Credential
	from := ""
	if cr.NotBefore != nil {
		from = "from " + base.Moment(*cr.NotBefore) + " "
	}
	c.Say("credential %s of %s, valid %suntil %s", cr.ID, cr.Service, from, base.Moment(cr.ExpiresAt))
	if i.Replaced.ID != "" {
		c.Say("credential %s, which it replaces, is valid until %s, or until %s after the first use of the new one",
			i.Replaced.ID, base.Moment(i.Replaced.ExpiresAt), time.Duration(cr.Overlap)*time.Second)
	}
	if i.Warning != "" {
		c.Say("warning: %s", i.Warning)
	}
}

// fromToken creates a credential with the claims that it proposes from a token of a platform.
func fromToken(c *base.CLI, cmd *cobra.Command, admin *operator.Client, service string, n *newCredential, issue issueCall) error {
	ctx := cmd.Context()
	t, err := platform.Read(c, cmd, "from-token", n.fromToken)
	if err != nil {
		return err
	}
	tr, err := t.Trust(ctx, admin, n.Trust)
	if err != nil {
		return err
	}
	p, err := platform.Propose(t, tr)
	if err != nil {
		return err
	}
	p.Show(ctx, c, admin, service)
	if err := p.Confirm(c, cmd, "Create this credential?"); err != nil {
		return err
	}
	n.Trust, n.Claims = tr.Name, p.Claims
	once := func(ctx context.Context) (api.RotatedCredential, error) {
		issued, err := issue(ctx)
		if p.Warned {
			issued.Warning = "" // it says the same
		}
		return issued, err
	}
	if err := register(c, ctx, once); err != nil {
		return err
	}
	p.Check(ctx, c, admin, service)
	return nil
}
