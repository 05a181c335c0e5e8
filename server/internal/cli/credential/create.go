package credential

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// newCredential is what the flags of credential create say.
type newCredential struct {
	api.NewCredential
	ttl, notBefore string

	out, outCert, public, certificate, algorithm string
	subject                                      api.TLSSubject
}

// kindFlags are the flags that are only for some kinds.
var kindFlags = map[string][]string{
	"out":      {api.KindBootstrap, api.KindSecret, api.KindKey, api.KindCertificate},
	"out-cert": {api.KindCertificate}, "algorithm": {api.KindKey, api.KindCertificate},
	"public": {api.KindKey}, "jwks-uri": {api.KindJWKS}, "certificate": {api.KindCertificate},
	"dn": {api.KindTLSSubject}, "dns": {api.KindTLSSubject}, "uri": {api.KindTLSSubject}, "ip": {api.KindTLSSubject}, "email": {api.KindTLSSubject},
}

func credentialCreate(c *base.CLI) *cobra.Command {
	var n newCredential
	cmd := &cobra.Command{
		Use:   "create SERVICE",
		Short: "Make a credential, and show its secret once",
		Long: `Makes a credential for a service. Of a bootstrap credential, which is the default, and of a
secret, the server makes the secret: it is printed, and nothing else, on stdout, or written
to a new file that only you can read; it is not kept and cannot be shown again.

Of a key the pair is made here: the private half goes to --out, as a JWK or, when the name
ends in .pem, as PEM, and only the public half to the server. Or --public names the file of
a public key there is, as JWK or PEM. In the same way a certificate, signed by itself, is
made with --out and --out-cert, or there is one in --certificate. With jwks the service
publishes its keys at --jwks-uri and changes them itself; with tls-subject an authority
that the server trusts makes its certificates.

A credential is good for 90 days, or as long as --ttl says: up to 100 years, with a warning
above one for those that are secrets.`,
		Example: `  watchword credential create m1 --out m1.jwt
  watchword credential create m1 --ttl 30d --name "blue cluster" --cidr 10.1.0.0/16 --out m1.jwt
  watchword credential create m1 | kubectl create secret generic m1 --from-file=credential=/dev/stdin
  watchword credential create m1 --kind secret --out m1.secret
  watchword credential create m1 --kind key --algorithm EdDSA --out m1.jwk
  watchword credential create m1 --kind key --public m1-public.pem
  watchword credential create m1 --kind jwks --jwks-uri https://m1.example.com/jwks.json
  watchword credential create m1 --kind certificate --out m1-key.pem --out-cert m1-cert.pem
  watchword credential create m1 --kind tls-subject --dns m1.example.com`,
		Args: base.Exactly("SERVICE"),
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
				return api.RotatedCredential{IssuedCredential: issued}, base.UnknownService(err, args[0])
			}
			switch n.Kind {
			case api.KindBootstrap, api.KindSecret:
				return issueSecret(c, cmd.Context(), admin, n.out, issue)
			case api.KindKey:
				return issueKey(c, cmd.Context(), &n, issue)
			case api.KindCertificate:
				return issueCertificate(c, cmd.Context(), &n, args[0], issue)
			}
			return register(c, cmd.Context(), issue)
		},
	}
	n.define(cmd)
	return c.WithJSON(cmd)
}

func (n *newCredential) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&n.Kind, "kind", api.KindBootstrap, strings.Join(base.Names(api.CredentialKinds()), ", "))
	flags.StringVar(&n.ttl, "ttl", "", "lifetime, as in 30d or 1y (default 90d)")
	flags.StringVar(&n.notBefore, "not-before", "", "when it begins to be good, as in 2027-01-01 (default now)")
	flags.StringVar(&n.Name, "name", "", "what it is for, for people")
	flags.StringVar(&n.CIDR, "cidr", "", "network it may be used from, as in 10.1.0.0/16")
	flags.StringVar(&n.out, "out", "", "write what is secret to this new file, readable by you alone")
	flags.StringVar(&n.algorithm, "algorithm", string(jose.ES256), "of a key that is made: "+jose.List(jose.ClientAlgorithms()))
	flags.StringVar(&n.public, "public", "", "file of a public key there is, JWK or PEM")
	flags.StringVar(&n.JWKSURI, "jwks-uri", "", "https URL at which the service publishes its keys")
	flags.StringVar(&n.certificate, "certificate", "", "file of a certificate there is, PEM")
	flags.StringVar(&n.outCert, "out-cert", "", "write the certificate that is made to this new file")
	flags.StringVar(&n.subject.DN, "dn", "", "of a tls-subject: subject of the certificates, as in CN=m1,O=Example")
	flags.StringVar(&n.subject.DNS, "dns", "", "of a tls-subject: host name in the certificates")
	flags.StringVar(&n.subject.URI, "uri", "", "of a tls-subject: URI in the certificates")
	flags.StringVar(&n.subject.IP, "ip", "", "of a tls-subject: address in the certificates")
	flags.StringVar(&n.subject.Email, "email", "", "of a tls-subject: e-mail address in the certificates")
}

// check holds the flags against each other, and reads those that are texts of something else.
func (n *newCredential) check(cmd *cobra.Command) (err error) {
	if n.Kind, err = base.NameOf(cmd, "--kind", api.CredentialKinds(), n.Kind); err != nil {
		return err
	}
	for flag, kinds := range kindFlags {
		if cmd.Flags().Changed(flag) && !slices.Contains(kinds, n.Kind) {
			var short []string
			for _, kind := range kinds {
				short = append(short, base.Short(api.CredentialKinds(), kind))
			}
			return base.Usage(cmd, "--%s is for --kind %s", flag, strings.Join(short, " and "))
		}
	}
	if n.ttl != "" {
		if n.TTLSeconds, err = base.Seconds(cmd, "--ttl", n.ttl); err != nil {
			return err
		}
		if n.TTLSeconds == 0 {
			return base.Usage(cmd, "--ttl: a credential must live for some time, as in 90d")
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
			return base.Usage(cmd, "give --out for a key that is to be made, or --public for one there is")
		}
	case api.KindCertificate:
		if made == (n.certificate != "") || made != (n.outCert != "") {
			return base.Usage(cmd, "give --out and --out-cert for a certificate that is to be made, or --certificate for one there is")
		}
	case api.KindJWKS:
		if n.JWKSURI == "" {
			return base.Usage(cmd, "--jwks-uri is missing")
		}
	case api.KindTLSSubject:
		return n.checkSubject(cmd)
	}
	if !slices.Contains(jose.ClientAlgorithms(), jose.Algorithm(n.algorithm)) {
		return base.Usage(cmd, "--algorithm: %q is not one of %s", n.algorithm, jose.List(jose.ClientAlgorithms()))
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

// register makes a credential of which the service has the secret half already.
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
	c.Say("credential %s of %s, good %suntil %s", cr.ID, cr.Service, from, base.Moment(cr.ExpiresAt))
	if i.Replaced.ID != "" {
		c.Say("credential %s, which it replaces, is good until %s", i.Replaced.ID, base.Moment(i.Replaced.ExpiresAt))
	}
	if i.Warning != "" {
		c.Say("warning: %s", i.Warning)
	}
}
