// Package trust contains the commands about trusts: outside issuers whose tokens prove services in place of a secret.
package trust

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
	"github.com/watchword-dev/watchword/server/internal/config"
	presets "github.com/watchword-dev/watchword/server/internal/trust"
)

// Command makes the command "trust".
func Command(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "trust",
		Short: "Manage the platforms that vouch for services",
		Long: `A trust is an outside issuer, such as a Kubernetes cluster or GitHub Actions, whose tokens prove
services in place of a secret. A credential of the kind workload names a trust and the claims that
its tokens must have. So a service needs nothing that somebody must keep, rotate and not leak.

If the server has a token of its own for changes of trusts (the setting admin.trust_token_file),
--admin-token-file names its file.`,
		Example: `  watchword trust add prod --preset kubernetes --from-kubeconfig
  kubectl create token m1 -n shop --audience http://localhost:8000 | \
    watchword service create m1 --from-token
  watchword trust list`,
	}
	group.AddCommand(add(c), list(c), show(c), update(c), remove(c), keys(c), test(c))
	return base.AsOperator(base.Group(group))
}

func list(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "list",
		Short: "List the trusts",
		Long: `Lists all trusts, and first what needs attention: tokens that were refused in the last 24 hours,
keys that could not be fetched, trusts that are disabled, and credentials that no token has matched
for 30 days.`,
		Example: `  watchword trust list
  watchword trust list --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			all, err := operator.Collect(admin.Trusts(cmd.Context()))
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(map[string]any{"trusts": all})
			}
			if err := platform.PrintAttention(c, platform.Attention(all...)); err != nil {
				return err
			}
			rows := [][]string{{"NAME", "PRESET", "STATUS", "ISSUER", "KEYS", "CREDENTIALS", "SERVICES"}}
			for _, t := range all {
				rows = append(rows, []string{t.Name, t.Preset, status(t), t.Issuer, keysOf(t), fmt.Sprint(t.Credentials), fmt.Sprint(t.Services)})
			}
			return c.PrintTable(rows)
		},
	})
}

func status(t api.Trust) string {
	if t.Disabled {
		return "disabled"
	}
	return "enabled"
}

// keysOf is where the keys of a trust are, in words.
func keysOf(t api.Trust) string {
	switch {
	case t.JWKSURI != "":
		return t.JWKSURI
	case t.KeysAt != nil:
		return "uploaded on " + base.MomentOf(t.KeysAt)
	case t.Preset == presets.SPIFFE:
		return "certificates only"
	}
	return "discovered"
}

func show(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "show NAME",
		Short: "Show a trust",
		Long: `Shows a trust, and first what needs attention. Settings that have the default of the preset are
shown as well, and so are the claims that credentials of the trust must name.`,
		Example: `  watchword trust show prod
  watchword trust show prod --json`,
		Args: base.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			t, err := admin.Trust(cmd.Context(), args[0])
			if err != nil {
				return platform.Unknown(err, args[0])
			}
			return printTrust(c, cmd, admin, t)
		},
	})
}

func printTrust(c *base.CLI, cmd *cobra.Command, admin *operator.Client, t api.Trust) error {
	if c.JSON {
		return c.PrintJSON(t)
	}
	if err := platform.PrintAttention(c, platform.Attention(t)); err != nil {
		return err
	}
	audience, own := presets.Audience(&t.TrustSettings, ""), "the issuer of this server"
	if audience == "" {
		audience = own
		if info, err := admin.Info(cmd.Context()); err == nil {
			audience = info.Issuer + " (" + own + ")"
		}
	}
	accepted := "again and again, until it expires"
	if presets.OnceOnly(&t.TrustSettings) {
		accepted = "once"
	}
	authorities := ""
	if n := strings.Count(t.Authorities, "-----BEGIN CERTIFICATE-----"); n > 0 {
		authorities = counted(n, "certificate")
	}
	err := c.PrintFields("name", t.Name, "id", t.ID, "status", status(t), "preset", t.Preset, "issuer", t.Issuer, "audience", audience,
		"keys", keysOf(t), "authorities", authorities, "bundle endpoint", t.EndpointID,
		"algorithms", strings.Join(presets.Algorithms(&t.TrustSettings), " "), "longest lifetime", config.FormatDuration(presets.LongestLife(&t.TrustSettings)),
		"a token is accepted", accepted, "credentials name", required(t.Preset),
		"credentials", fmt.Sprintf("%d, of %s", t.Credentials, counted(t.Services, "service")),
		"managed by", t.ManagedBy, "version", fmt.Sprint(t.Version), "created", base.Moment(t.CreatedAt), "updated", base.Moment(t.UpdatedAt))
	for _, note := range t.Notes {
		err = errors.Join(err, c.Printf("Note: %s", base.Line(note)))
	}
	return err
}

// required are the claims that a credential must name, in words.
func required(name string) string {
	p, ok := presets.Find(name)
	if !ok {
		return ""
	}
	var groups []string
	for _, g := range p.Required {
		groups = append(groups, strings.Join(g, " or "))
	}
	return strings.Join(groups, ", ")
}

func remove(c *base.CLI) *cobra.Command {
	var version int64
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a trust with its credentials",
		Long: `Removes a trust. The credentials that name it are revoked, and so are the tokens that were issued
for them. The command says how many credentials and services that are, and asks for confirmation;
without a terminal it requires --yes. To stop a trust temporarily, disable it.`,
		Example: `  watchword trust remove prod
  watchword trust remove prod --yes`,
		Args: base.Exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			t, err := admin.Trust(cmd.Context(), args[0])
			if err != nil {
				return platform.Unknown(err, args[0])
			}
			ends := counted(t.Credentials, "credential") + " of " + counted(t.Services, "service")
			if err := c.Confirm(cmd, fmt.Sprintf("Remove trust %s, and revoke %s with their tokens?", t.Name, ends)); err != nil {
				return err
			}
			if err := admin.DeleteTrust(cmd.Context(), t.Name, version); err != nil {
				return platform.Unknown(err, args[0])
			}
			c.Say("removed trust %s, and revoked %s", t.Name, ends)
			return nil
		},
	}
	cmd.Flags().Int64Var(&version, "if-version", 0, "remove the trust only if it has this `version`")
	return base.WithConfirmation(c.WithJSON(cmd))
}

func test(c *base.CLI) *cobra.Command {
	var file, as string
	cmd := &cobra.Command{
		Use:   "test [NAME]",
		Short: "Test a token of a platform, claim by claim",
		Long: `Tests a token of a platform: which service it proves or, if it would be refused, why. For each claim
the command shows what the token has and what is wanted. The token is read from --token-file or
from standard input. It is not used up, and not recorded. With NAME, it must be of that trust.

The exit code is 0 only if the token proves a service.`,
		Example: `  watchword trust test prod --token-file /var/run/secrets/watchword/token
  kubectl create token m1 -n shop --audience http://localhost:8000 | watchword trust test
  watchword trust test --as m1 --json < token`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && strings.HasPrefix(args[0], "eyJ") {
				return base.Usage(cmd, "a token must not be an argument, since every user of the machine can read it there: use --token-file, or write it to standard input")
			}
			return base.AtMostOne(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := platform.Read(c, cmd, "token-file", file)
			if err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				if _, err := t.Trust(cmd.Context(), admin, args[0]); err != nil {
					return err
				}
			}
			v, err := admin.TestPlatformToken(cmd.Context(), api.PlatformTokenTest{Token: t.Text, Service: as})
			if err != nil {
				return err
			}
			if c.JSON {
				err = c.PrintJSON(v)
			} else {
				err = platform.PrintVerdict(c, v)
			}
			if err == nil && !v.Accepted {
				return base.ErrSaid
			}
			return err
		},
	}
	cmd.Flags().StringVar(&file, "token-file", platform.Stdin, "`file` with the token (default standard input)")
	cmd.Flags().Lookup("token-file").DefValue = ""
	cmd.Flags().StringVar(&as, "as", "", "`service` that the request names, if the token could prove several")
	return c.WithJSON(cmd)
}

// counted is a number of things.
func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// seconds reads a lifetime.
func seconds(cmd *cobra.Command, flag, text string) (*int64, error) {
	if text == "" {
		return new(int64(0)), nil
	}
	n, err := base.Seconds(cmd, "--"+flag, text)
	if err == nil && time.Duration(n)*time.Second > presets.MaxLifetime {
		err = base.Usage(cmd, "--%s: %s is longer than 31d", flag, text)
	}
	return &n, err
}
