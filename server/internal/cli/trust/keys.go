package trust

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
)

func keys(c *base.CLI) *cobra.Command {
	var file, kubeconfig string
	cmd := &cobra.Command{
		Use:   "keys NAME",
		Short: "Show or replace the keys of a trust",
		Long: `Shows the public keys of a trust. If the server fetches them, it does so now, unless it did less
than 30 seconds ago. With --jwks-file or --from-kubeconfig, the command replaces the uploaded keys,
and says which keys are new and which are gone. Tokens that were issued for tokens of the trust are
revoked if a key is gone.

Uploaded keys become outdated when the platform has new ones: "watchword trust show" shows it when
tokens name a key that the trust does not have.`,
		Example: `  watchword trust keys prod
  watchword trust keys prod --from-kubeconfig
  watchword trust keys mesh --jwks-file bundle.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			return platform.MistakenFile(cmd, base.Exactly("NAME")(cmd, args), args, "from-kubeconfig")
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			t, err := admin.Trust(cmd.Context(), args[0])
			if err != nil {
				return platform.Unknown(err, args[0])
			}
			var before api.TrustKeys
			replaces := file != "" || kubeconfig != ""
			if replaces {
				text, err := newKeys(c, cmd, file, kubeconfig, t)
				if err != nil {
					return err
				}
				if before, err = admin.TrustKeys(cmd.Context(), t.Name); err != nil {
					return err
				}
				change := api.TrustPatch{JWKS: text}
				if t.JWKSURI != "" && t.EndpointID == "" {
					change.JWKSURI = new(string) // uploaded in the place of fetched
				}
				old := t
				if t, err = admin.UpdateTrust(cmd.Context(), t.Name, t.Version, change); err != nil {
					return err
				}
				sayRevoked(c, old, t)
			}
			after, err := refreshed(cmd, admin, t)
			if err != nil {
				return err
			}
			if replaces {
				sayDifference(c, before, after)
			}
			return printKeys(c, after)
		},
	}
	cmd.Flags().StringVar(&file, "jwks-file", "", "upload the public keys or the SPIFFE bundle in this `file`")
	platform.OptionalFile(cmd, &kubeconfig, "from-kubeconfig", ofKubectl, "upload the keys of the cluster that kubectl reads, from this `kubeconfig` or its default")
	return c.WithJSON(cmd)
}

// newKeys is the text of the keys that a trust is to have.
func newKeys(c *base.CLI, cmd *cobra.Command, file, kubeconfig string, t api.Trust) (*string, error) {
	if kubeconfig == "" {
		return keyText(file)
	}
	if file != "" {
		return nil, base.Usage(cmd, "--from-kubeconfig and --jwks-file both name keys")
	}
	cluster, err := readCluster(cmd.Context(), c, kubeconfig)
	if err != nil {
		return nil, err
	}
	if cluster.Issuer != t.Issuer {
		return nil, base.Next(fmt.Errorf("the issuer of the cluster is %s, and that of the trust %s is %s", cluster.Issuer, t.Name, t.Issuer),
			"Choose the right cluster, as in: %s", command("keys", t.Name, "--from-kubeconfig=FILE"))
	}
	return &cluster.keys, nil
}

// sayDifference tells which keys come and go.
func sayDifference(c *base.CLI, before, after api.TrustKeys) {
	less := func(a, b []api.TrustKey) []string {
		var names []string
		for _, k := range a {
			if !slices.ContainsFunc(b, func(o api.TrustKey) bool { return o.ID == k.ID && o.Thumbprint == k.Thumbprint }) {
				names = append(names, nameOf(k))
			}
		}
		return names
	}
	come, gone := less(after.Keys, before.Keys), less(before.Keys, after.Keys)
	for _, part := range []struct {
		what  string
		names []string
	}{{"new", come}, {"gone", gone}} {
		if len(part.names) > 0 {
			c.Say("%s: %s", part.what, strings.Join(part.names, " "))
		}
	}
	if len(come)+len(gone) == 0 {
		c.Say("the keys are the same as before")
	}
}

// nameOf is the kid of a key, or its thumbprint if it has none.
func nameOf(k api.TrustKey) string {
	if k.ID == "" {
		return k.Thumbprint
	}
	return k.ID
}

func printKeys(c *base.CLI, k api.TrustKeys) error {
	if c.JSON {
		return c.PrintJSON(k)
	}
	if k.Error != "" {
		if err := platform.PrintAttention(c, []string{k.Error}); err != nil {
			return err
		}
	}
	rows := [][]string{{"KID", "ALGORITHMS", "THUMBPRINT"}}
	for _, key := range k.Keys {
		rows = append(rows, []string{key.ID, strings.Join(key.Algorithms, " "), key.Thumbprint})
	}
	if err := c.PrintTable(rows); err != nil {
		return err
	}
	if len(k.Authorities) > 0 {
		rows := [][]string{{"AUTHORITY", "EXPIRES", "THUMBPRINT"}}
		for _, a := range k.Authorities {
			rows = append(rows, []string{a.Subject, base.Moment(a.ExpiresAt), a.Thumbprint})
		}
		if err := c.PrintTable(rows); err != nil {
			return err
		}
	}
	if k.FetchedAt != nil {
		c.Say("fetched on %s", base.MomentOf(k.FetchedAt))
	}
	return nil
}

// ofKubectl stands for the kubeconfig that kubectl reads by default.
const ofKubectl = "-"

// cluster is a Kubernetes cluster as an issuer.
type cluster struct {
	Issuer string `json:"issuer"`
	keys   string
}

const (
	kubectlTimeout = 30 * time.Second
	kubectlLimit   = 256 << 10
)

// readCluster reads the issuer and the keys of a cluster through its API server, which often answers nobody without a
// credential. kubectl has that, so that the server need not fetch anything.
func readCluster(ctx context.Context, c *base.CLI, kubeconfig string) (*cluster, error) {
	ctx, cancel := context.WithTimeout(ctx, kubectlTimeout)
	defer cancel()
	discovery, err := kubectl(ctx, c, kubeconfig, "/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	var k cluster
	if err := json.Unmarshal(discovery, &k); err != nil || k.Issuer == "" {
		return nil, errors.New("the cluster does not say who its issuer is: /.well-known/openid-configuration has no issuer")
	}
	keys, err := kubectl(ctx, c, kubeconfig, "/openid/v1/jwks")
	if err != nil {
		return nil, err
	}
	if k.keys, err = compacted(keys); err != nil {
		return nil, errors.New("the keys of the cluster at /openid/v1/jwks are not JSON")
	}
	return &k, nil
}

// kubectl reads a path of the API server of a cluster.
func kubectl(ctx context.Context, c *base.CLI, kubeconfig, path string) ([]byte, error) {
	args := []string{"get", "--raw", path}
	if kubeconfig != ofKubectl {
		args = append([]string{"--kubeconfig", kubeconfig}, args...)
	}
	line := "kubectl " + strings.Join(args, " ")
	cmd := exec.CommandContext(ctx, "kubectl", args...) //nolint:gosec // the operator names the file, as to kubectl itself
	cmd.Env = c.Environ
	out, said := &limited{most: kubectlLimit}, &limited{most: 4 << 10}
	cmd.Stdout, cmd.Stderr = out, said
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, base.Next(errors.New("kubectl is not installed, or not in a folder of PATH"),
			"Install it, or read both documents where it is installed:\n  kubectl get --raw /.well-known/openid-configuration\n  kubectl get --raw /openid/v1/jwks > keys.json\n"+
				"and give the issuer of the first with --issuer, and the second with --jwks-file.")
	case ctx.Err() != nil:
		return nil, base.Next(fmt.Errorf("%s did not end within %s", line, kubectlTimeout), "Check that the cluster can be reached: kubectl cluster-info")
	case err != nil:
		return nil, base.Next(fmt.Errorf("%s failed: %s", line, strings.TrimSpace(said.String())),
			"Whoever kubectl authenticates as needs the cluster role system:service-account-issuer-discovery.")
	case out.full:
		return nil, fmt.Errorf("%s wrote more than %d KiB", line, kubectlLimit>>10)
	}
	return out.Bytes(), nil
}

// limited keeps the beginning of what is written to it.
type limited struct {
	bytes.Buffer
	most int
	full bool
}

func (l *limited) Write(b []byte) (int, error) {
	if room := l.most - l.Len(); len(b) > room {
		l.full = true
		l.Buffer.Write(b[:max(room, 0)])
		return len(b), nil
	}
	return l.Buffer.Write(b)
}
