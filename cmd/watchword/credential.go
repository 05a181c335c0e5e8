package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/adminclient"
)

func (c *cli) credentialCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "credential",
		Short: "What services prove themselves with",
		Long: `Credentials are long-lived and known only to their service and this server. A service
exchanges one for short-lived access tokens. It may have several: to replace one, make
another, put it in place, and revoke the first when it is no longer used.`,
		Example: `  watchword credential create m1 --out m1.jwt
  watchword credential list m1`,
	}
	group.AddCommand(c.credentialCreate(), c.credentialList(), c.credentialShow(), c.credentialRevoke())
	return asOperator(asGroup(group))
}

func (c *cli) credentialCreate() *cobra.Command {
	var n adminclient.NewCredential
	var ttl, out string
	cmd := &cobra.Command{
		Use:   "create SERVICE",
		Short: "Make a bootstrap credential, and show it once",
		Long: `Makes a bootstrap credential for a service and prints it, and nothing else, on stdout,
or writes it to a new file that only you can read. It is not kept and cannot be shown
again. It is good for 90 days, or as long as --ttl says: up to 100 years, with a warning
above one. A service reads it from its file, so give it no other place to leak from.`,
		Example: `  watchword credential create m1 --out m1.jwt
  watchword credential create m1 --ttl 30d --name "blue cluster" --cidr 10.1.0.0/16 --out m1.jwt
  watchword credential create m1 | kubectl create secret generic m1 --from-file=credential=/dev/stdin`,
		Args: exactly("SERVICE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if ttl != "" {
				if n.TTLSeconds, err = seconds(cmd, "--ttl", ttl); err != nil {
					return err
				}
				if n.TTLSeconds == 0 {
					return usage(cmd, "--ttl: a credential must live for some time, as in 90d")
				}
			}
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			if out != "" {
				return c.issueToFile(cmd.Context(), admin, args[0], n, out)
			}
			issued, err := admin.IssueCredential(cmd.Context(), args[0], n)
			if err != nil {
				return unknownService(err, args[0])
			}
			c.sayIssued(issued.Value)
			if c.json {
				return c.printJSON(issued)
			}
			_, err = fmt.Fprintln(c.stdout, issued.Value.Token)
			return err
		},
	}
	cmd.Flags().StringVar(&ttl, "ttl", "", "lifetime, as in 30d or 1y (default 90d)")
	cmd.Flags().StringVar(&n.Name, "name", "", "what it is for, for people")
	cmd.Flags().StringVar(&n.CIDR, "cidr", "", "network it may be used from, as in 10.1.0.0/16")
	cmd.Flags().StringVar(&out, "out", "", "write it to this new file, readable by you alone")
	return c.withJSON(cmd)
}

func (c *cli) sayIssued(i adminclient.IssuedCredential) {
	cr := i.Credential.Value
	c.say("credential %s of %s, good until %s", cr.ID, clean(cr.Service), moment(cr.ExpiresAt))
	if i.Warning != "" {
		c.say("warning: %s", clean(i.Warning))
	}
}

// issueToFile makes the file before the credential, so that a credential is never made that
// cannot be kept, and revokes it when it could not be written all the same.
func (c *cli) issueToFile(ctx context.Context, admin *adminclient.Client, service string, n adminclient.NewCredential, name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return next(fmt.Errorf("%s is there already, and credentials overwrite nothing", name), "Name another file with --out, or remove this one.")
	}
	if err != nil {
		return fmt.Errorf("make the file for the credential: %w", pathError(err))
	}
	issued, err := admin.IssueCredential(ctx, service, n)
	if err != nil {
		return errors.Join(unknownService(err, service), f.Close(), os.Remove(name))
	}
	_, err = f.WriteString(issued.Value.Token + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_, undone := admin.RevokeCredential(ctx, issued.Value.Credential.Value.ID)
		return errors.Join(fmt.Errorf("write the credential: %w", err), undone, os.Remove(name))
	}
	c.sayIssued(issued.Value)
	if c.json {
		return c.printJSON(map[string]any{"credential": issued.Value.Credential, "file": name})
	}
	return c.printf("wrote %s", name)
}

func (c *cli) credentialList() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "list [SERVICE]",
		Short: "List credentials",
		Long: `Lists the credentials of a service, or of all services, with when and from where each
was last used. The list tells no secrets.`,
		Example: `  watchword credential list
  watchword credential list m1 --json`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			service := ""
			if len(args) == 1 {
				service = args[0]
			}
			all, err := admin.Credentials(cmd.Context(), service)
			if err != nil {
				return unknownService(err, service)
			}
			if c.json {
				return c.printJSON(map[string]any{"credentials": all})
			}
			rows := [][]string{{"ID", "SERVICE", "STATUS", "EXPIRES", "LAST USED", "FROM", "NAME"}}
			for _, a := range all {
				cr := a.Value
				rows = append(rows, []string{cr.ID, cr.Service, cr.Status, moment(cr.ExpiresAt), momentOf(cr.LastUsedAt), cr.LastUsedFrom, cr.Name})
			}
			return c.printTable(rows)
		},
	})
}

func (c *cli) credentialShow() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:     "show ID",
		Short:   "Show a credential's record",
		Long:    `Shows what is recorded of a credential. Its secret is not: nobody can be shown that again.`,
		Example: `  watchword credential show 3f1c0a9e5b7d4286a1e0c3b5d7f90214`,
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withCredential(cmd, args[0], (*adminclient.Client).Credential)
		},
	})
}

func (c *cli) credentialRevoke() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "revoke ID",
		Short: "Withdraw a credential",
		Long: `Withdraws a credential: the next request with it is refused. Access tokens it already
got are good until they expire. To revoke again changes nothing.`,
		Example: `  watchword credential revoke 3f1c0a9e5b7d4286a1e0c3b5d7f90214`,
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withCredential(cmd, args[0], (*adminclient.Client).RevokeCredential)
		},
	})
}

type credentialCall func(*adminclient.Client, context.Context, string) (adminclient.Answer[adminclient.Credential], error)

// withCredential makes one call about a credential and prints what came of it.
func (c *cli) withCredential(cmd *cobra.Command, id string, call credentialCall) error {
	admin, err := c.admin(cmd)
	if err != nil {
		return err
	}
	a, err := call(admin, cmd.Context(), id)
	if statusOf(err) == http.StatusNotFound {
		return next(fmt.Errorf("there is no credential %q", id), "List credentials with: watchword credential list")
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(a)
	}
	cr := a.Value
	return c.printFields("id", cr.ID, "service", cr.Service, "kind", cr.Kind, "name", cr.Name, "status", cr.Status, "network", cr.CIDR,
		"created", moment(cr.CreatedAt), "expires", moment(cr.ExpiresAt), "revoked", momentOf(cr.RevokedAt),
		"last used", momentOf(cr.LastUsedAt), "last used from", cr.LastUsedFrom)
}
