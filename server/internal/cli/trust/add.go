package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
	"github.com/watchword-dev/watchword/server/internal/directory"
	presets "github.com/watchword-dev/watchword/server/internal/trust"
)

// settings are the flags that add and update share.
type settings struct {
	issuer, audience, jwksURI, jwksFile, authorities, endpointID, maxLifetime, once, kubeconfig string
	algorithms                                                                                  []string
}

func (s *settings) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&s.issuer, "issuer", "", "`URL` that is the iss of the tokens, or spiffe://TRUST-DOMAIN (default that of the preset, if it has one)")
	flags.StringVar(&s.audience, "audience", "", "the one `aud` that tokens must have (default the issuer of the server)")
	flags.StringVar(&s.jwksURI, "jwks-uri", "", "`URL` from which the server fetches the keys, or the SPIFFE bundle")
	flags.StringVar(&s.jwksFile, "jwks-file", "", "`file` with the public keys or the SPIFFE bundle, which is uploaded")
	flags.StringArrayVar(&s.algorithms, "algorithm", nil, "`algorithm` that tokens may be signed with (default those of the preset); may be repeated")
	flags.StringVar(&s.maxLifetime, "max-lifetime", "", "longest `lifetime` of a token, as in 1h (default that of the preset)")
	flags.StringVar(&s.once, "once", "", "whether a token is accepted only once: `always` or never (default that of the preset)")
	flags.StringVar(&s.authorities, "authorities", "", "`file` with the certificates of the authorities of X.509-SVIDs, PEM")
	flags.StringVar(&s.endpointID, "endpoint-id", "", "SPIFFE `ID` of the bundle endpoint, if it has an X.509-SVID")
	platform.OptionalFile(cmd, &s.kubeconfig, "from-kubeconfig", ofKubectl, "upload the issuer and the keys of the cluster that kubectl reads, from this `kubeconfig` or its default")
}

// patch returns the settings that the command line names.
func (s *settings) patch(c *base.CLI, cmd *cobra.Command) (p api.TrustPatch, err error) {
	given := cmd.Flags().Changed
	for _, f := range []struct {
		flag  string
		value *string
		to    **string
	}{
		{"issuer", &s.issuer, &p.Issuer},
		{"audience", &s.audience, &p.Audience},
		{"jwks-uri", &s.jwksURI, &p.JWKSURI},
		{"once", &s.once, &p.Once},
		{"endpoint-id", &s.endpointID, &p.EndpointID},
	} {
		if given(f.flag) {
			*f.to = f.value
		}
	}
	if s.once != "" && s.once != "always" && s.once != "never" {
		return p, base.Usage(cmd, "--once: %q is not always or never", s.once)
	}
	if given("algorithm") {
		list := []string{}
		for _, a := range s.algorithms {
			if a != "" {
				list = append(list, a)
			}
		}
		p.Algorithms = &list
	}
	if given("max-lifetime") {
		if p.MaxLifetimeSeconds, err = seconds(cmd, "max-lifetime", s.maxLifetime); err != nil {
			return p, err
		}
	}
	if given("from-kubeconfig") && given("jwks-file") {
		return p, base.Usage(cmd, "--from-kubeconfig and --jwks-file both name keys")
	}
	if given("jwks-file") {
		if p.JWKS, err = keyText(s.jwksFile); err != nil {
			return p, err
		}
	}
	if given("authorities") {
		if p.Authorities, err = text(s.authorities); err != nil {
			return p, err
		}
	}
	if given("from-kubeconfig") {
		cluster, err := readCluster(cmd.Context(), c, s.kubeconfig)
		if err != nil {
			return p, err
		}
		if p.Issuer != nil && *p.Issuer != cluster.Issuer {
			return p, fmt.Errorf("the cluster says that its issuer is %s, and not %s", cluster.Issuer, *p.Issuer)
		}
		p.Issuer, p.JWKS = &cluster.Issuer, &cluster.keys
	}
	return p, nil
}

// text is the content of a file that the user named, or nothing if the name is empty.
func text(file string) (*string, error) {
	if file == "" {
		return new(string), nil
	}
	raw, err := base.ReadFile(file)
	if err == nil && len(bytes.TrimSpace(raw)) == 0 {
		// A command that failed leaves such a file. Without uploaded keys, the server would fetch some.
		return nil, base.Next(fmt.Errorf("%s is empty", file), "Write into it what is to be uploaded. An empty name, as in --jwks-file=, removes what was uploaded.")
	}
	return new(string(raw)), err
}

// keyText is text of a JSON document, without the space that makes it readable.
func keyText(file string) (*string, error) {
	t, err := text(file)
	if err != nil || *t == "" {
		return t, err
	}
	compact, err := compacted([]byte(*t))
	if err != nil {
		return nil, fmt.Errorf("%s is not JSON: %w", file, err)
	}
	return &compact, nil
}

func add(c *base.CLI) *cobra.Command {
	var s settings
	var preset string
	cmd := &cobra.Command{
		Use:   "add NAME --preset PRESET [flags]",
		Short: "Add a trust",
		Long: `Adds a trust. The keys of the issuer are discovered at --issuer, fetched from --jwks-uri, or
uploaded: with --jwks-file, or with --from-kubeconfig, which reads the issuer and the keys of a
Kubernetes cluster with kubectl. The server fetches nothing if keys are uploaded.

The preset is the kind of platform. It says which claims a credential must name, and which
algorithms and lifetimes the tokens have. --preset is one of these:

` + presetHelp(),
		Example: `  watchword trust add prod --preset kubernetes --from-kubeconfig
  watchword trust add prod --preset kubernetes --from-kubeconfig=prod.kubeconfig
  watchword trust add ci --preset github
  watchword trust add corp --issuer https://login.example.com --jwks-file keys.json
  watchword trust add mesh --preset spiffe --issuer spiffe://example.org --jwks-file bundle.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			return platform.MistakenFile(cmd, base.Exactly("NAME")(cmd, args), args, "from-kubeconfig")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			p, ok := presets.Find(preset)
			if !ok {
				return base.Usage(cmd, "--preset: %q is not one of %s", preset, strings.Join(presets.Names(), ", "))
			}
			if s.kubeconfig != "" && preset == "" {
				p, _ = presets.Find(presets.Kubernetes)
			}
			if s.issuer == "" && s.kubeconfig == "" && p.DefaultIssuer() == "" {
				return base.Usage(cmd, "--issuer is missing: %s", p.Issuer)
			}
			n := api.NewTrust{Name: args[0], Preset: p.Name}
			var err error
			if n.TrustPatch, err = s.patch(c, cmd); err != nil {
				return err
			}
			if fixed := p.DefaultIssuer(); n.Issuer == nil && fixed != "" {
				n.Issuer = &fixed
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			made, err := admin.CreateTrust(cmd.Context(), n)
			if base.StatusOf(err) == http.StatusConflict {
				return taken(cmd, admin, n, err)
			}
			if err != nil {
				return err
			}
			keys, err := refreshed(cmd, admin, made)
			if err != nil {
				c.Say("warning: the keys could not be read: %s", c.Text(err))
			} else if keys.Error != "" {
				c.Say("warning: the trust has no keys yet: %s", keys.Error)
			}
			if c.JSON {
				return c.PrintJSON(made)
			}
			return sayAdded(c, cmd, admin, made, p, keys)
		},
	}
	cmd.Flags().StringVar(&preset, "preset", "", "`kind` of platform, see above (default oidc, or kubernetes with --from-kubeconfig)")
	s.define(cmd)
	return c.WithJSON(cmd)
}

// taken is the error of a trust whose name or issuer another has, as which the server answers with conflict.
func taken(cmd *cobra.Command, admin *operator.Client, n api.NewTrust, conflict error) error {
	for t, err := range admin.Trusts(cmd.Context()) {
		switch {
		case err != nil:
			return errors.Join(conflict, err)
		case strings.EqualFold(t.Name, n.Name):
			return base.Next(fmt.Errorf("trust %s exists already", t.Name), "Show it with: %s\nChange it with: %s", command("show", t.Name), command("update", t.Name))
		case n.Issuer != nil && t.Issuer == *n.Issuer:
			return base.Next(fmt.Errorf("trust %s has this issuer already: an issuer has one trust, which many credentials can name", t.Name),
				"Change it with: %s", command("update", t.Name))
		}
	}
	return conflict
}

// refreshed are the keys of a trust, which the server fetches for it, unless they are uploaded.
func refreshed(cmd *cobra.Command, admin *operator.Client, t api.Trust) (api.TrustKeys, error) {
	if t.KeysAt != nil && t.JWKSURI == "" {
		return admin.TrustKeys(cmd.Context(), t.Name)
	}
	return admin.RefreshTrustKeys(cmd.Context(), t.Name)
}

// sayAdded tells how workloads use the new trust.
func sayAdded(c *base.CLI, cmd *cobra.Command, admin *operator.Client, t api.Trust, p *presets.Preset, keys api.TrustKeys) error {
	if err := c.Printf("added trust %s (%s) for the issuer %s, with %s", t.Name, t.ID, t.Issuer, counted(len(keys.Keys)+len(keys.Authorities), "key")); err != nil {
		return err
	}
	audience := t.Audience
	if info, err := admin.Info(cmd.Context()); err == nil {
		audience = presets.Audience(&t.TrustSettings, info.Issuer)
	}
	if audience == "" {
		return nil
	}
	text := "Tokens must have the audience " + audience + "."
	if p.Ask != "" {
		text += " A workload gets one with:\n  " + strings.ReplaceAll(p.Ask, "AUDIENCE", audience)
	}
	c.Say("%s\nCreate a service from such a token with: watchword service create SERVICE --from-token", text)
	return nil
}

func update(c *base.CLI) *cobra.Command {
	var s settings
	var version int64
	var enable, disable bool
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Change a trust",
		Long: `Changes the settings that are given as flags, and no others. An empty value, as in --audience "",
restores the default. If the trust accepts less than before, the tokens that were issued for its
tokens are revoked. The preset cannot be changed. To replace uploaded keys, use "watchword trust
keys". With --if-version the command changes nothing if the trust has another version.`,
		Example: `  watchword trust update prod --max-lifetime 1h
  watchword trust update ci --once never
  watchword trust update prod --disable
  watchword trust update prod --enable --if-version 3`,
		Args: func(cmd *cobra.Command, args []string) error {
			return platform.MistakenFile(cmd, base.Exactly("NAME")(cmd, args), args, "from-kubeconfig")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if enable && disable {
				return base.Usage(cmd, "--enable and --disable exclude each other")
			}
			p, err := s.patch(c, cmd)
			if err != nil {
				return err
			}
			if enable || disable {
				p.Disabled = &disable
			}
			if reflect.DeepEqual(p, api.TrustPatch{}) {
				return base.Usage(cmd, "nothing to change: give at least one of the flags that --help lists")
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			before, err := admin.Trust(cmd.Context(), args[0])
			if err != nil {
				return platform.Unknown(err, args[0])
			}
			t, err := admin.UpdateTrust(cmd.Context(), args[0], version, p)
			if err != nil {
				return platform.Unknown(err, args[0])
			}
			sayRevoked(c, before, t)
			return printTrust(c, cmd, admin, t)
		},
	}
	s.define(cmd)
	cmd.Flags().BoolVar(&disable, "disable", false, "none of its tokens proves a service until it is enabled again")
	cmd.Flags().BoolVar(&enable, "enable", false, "its tokens prove services again")
	cmd.Flags().Int64Var(&version, "if-version", 0, "change the trust only if it has this `version`")
	return c.WithJSON(cmd)
}

// sayRevoked tells that tokens ended, if a change of a trust did so.
func sayRevoked(c *base.CLI, before, after api.Trust) {
	if !directory.AcceptsAllOf(&after.TrustSettings, &before.TrustSettings) {
		c.Say("The tokens that it vouched for are revoked.")
	}
}

// presetHelp lists the presets of the table, in lines of 100 characters at most.
func presetHelp() string {
	var b strings.Builder
	for i, p := range presets.Presets() {
		if i > 0 {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "  %-12s", p.Name)
		column := 14
		for j, word := range strings.Fields(p.Doc) {
			switch {
			case j > 0 && column+1+len(word) > 98:
				b.WriteString("\n" + strings.Repeat(" ", 14))
				column = 14
			case j > 0:
				b.WriteByte(' ')
				column++
			}
			b.WriteString(word)
			column += len(word)
		}
	}
	return b.String()
}

// compacted is a JSON document in one line.
func compacted(raw []byte) (string, error) {
	var doc json.RawMessage
	if err := json.Unmarshal(raw, &doc); err != nil {
		return "", err
	}
	out, err := json.Marshal(doc) // compacts it
	return string(out), err
}

// command is a command line of this program.
func command(args ...string) string {
	return shell.Command(append([]string{"watchword", "trust"}, args...)...)
}
