// Package probe contains the command that checks whether services refuse invalid tokens.
package probe

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Command makes the command "probe".
func Command(c *base.CLI) *cobra.Command {
	var all, last bool
	var other string
	cmd := &cobra.Command{
		Use:   "probe [SERVICE]",
		Short: "Test whether services refuse invalid tokens",
		Long: `The server sends tokens to the probe URL of the service that the service must refuse: tokens for
another service, expired tokens, unsigned tokens, revoked tokens and so on. It also sends valid
tokens, so that a service which is down does not pass. The URL must answer a GET request that has
a valid token with a status of 2xx. Set it with "watchword service update SERVICE --probe URL".

The subject of the tokens is "watchword-probe", which cannot be the name of a service. They have
no scope, have the claim "probe", and expire after a minute. With --other the token for another
service is for the one that you name. The tested service could use it there until it expires.

The exit code is 1 if a service accepted a token that it must refuse, or if the test failed.`,
		Example: `  watchword probe m2
  watchword probe --all
  watchword probe --last`,
		Args: base.AtMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if n := len(args); n == 0 && all == last || n == 1 && (all || last) {
				return base.Usage(cmd, "give one of SERVICE, --all and --last")
			}
			if other != "" && last {
				return base.Usage(cmd, "--other and --last exclude each other")
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			switch {
			case last:
				return probeLast(c, cmd, admin)
			case all:
				return probeAll(c, cmd, admin, other)
			}
			return probeOne(c, cmd, admin, args[0], other)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&all, "all", false, "test every service that has a probe URL, one after the other")
	flags.BoolVar(&last, "last", false, "show the result of the last test of each service, and test nothing")
	flags.StringVar(&other, "other", "", "`service` for which the token for another service is (default a service that does not exist)")
	return base.AsOperator(c.WithJSON(cmd))
}

func probeOne(c *base.CLI, cmd *cobra.Command, admin *operator.Client, name, other string) error {
	p, err := probed(cmd, admin, name, other)
	if err != nil {
		return err
	}
	if c.JSON {
		err = c.PrintJSON(p)
	} else {
		rows := [][]string{{"RESULT", "STATUS", "WHAT THE SERVICE DID"}}
		for _, check := range p.Checks {
			status := ""
			if check.Status != 0 {
				status = strconv.Itoa(check.Status)
			}
			rows = append(rows, []string{mark(check), status, check.Text})
		}
		if err = c.PrintTable(rows); err == nil {
			err = c.Printf("%s", verdictOf(p))
		}
		if p.Outcome != api.ProbeRefused && p.Outcome != api.ProbeAccepted {
			c.Say("The service must run and answer a valid token with 2xx. See its probe URL with: %s\nSet another URL with: %s",
				shell.Command("watchword", "service", "show", name), shell.Command("watchword", "service", "update", name, "--probe", "URL"))
		}
	}
	return errors.Join(err, judged(p))
}

// mark is the result of a check in short.
func mark(check api.ProbeCheck) string {
	switch check.Outcome {
	case check.Must:
		return "ok"
	case api.ProbeRefused, api.ProbeAccepted:
		return "BAD"
	}
	return "?"
}

// verdictOf is the result of a probe in one line.
func verdictOf(p api.ProbeResult) string {
	switch p.Outcome {
	case api.ProbeRefused:
		return p.Service + " refused all tokens that it must refuse"
	case api.ProbeAccepted:
		bad := 0
		for _, check := range p.Checks {
			if check.Must == api.ProbeRefused && check.Outcome == api.ProbeAccepted {
				bad++
			}
		}
		return fmt.Sprintf("%s ACCEPTED tokens that it must refuse, in %d of %d checks", p.Service, bad, len(p.Checks))
	}
	return p.Service + " could not be tested: " + p.Why
}

// judged is base.ErrSaid unless all probes went as they must.
func judged(probes ...api.ProbeResult) error {
	for _, p := range probes {
		if p.Outcome != api.ProbeRefused {
			return base.ErrSaid
		}
	}
	return nil
}

func probed(cmd *cobra.Command, admin *operator.Client, name, other string) (api.ProbeResult, error) {
	p, err := admin.Probe(cmd.Context(), name, api.NewProbe{Other: other})
	if base.StatusOf(err) == http.StatusConflict {
		return p, base.Next(fmt.Errorf("service %q has no probe URL", name), "Set one with: %s", shell.Command("watchword", "service", "update", name, "--probe", "URL"))
	}
	return p, base.UnknownService(err, name)
}

func probeAll(c *base.CLI, cmd *cobra.Command, admin *operator.Client, other string) error {
	services, err := operator.Collect(admin.Services(cmd.Context()))
	if err != nil {
		return err
	}
	var (
		answers []api.ProbeResult
		probes  []api.ProbeResult
		without []string
	)
	for _, s := range services {
		switch {
		case s.Probe == "":
			without = append(without, s.Name)
			continue
		case s.Name == other:
			c.Say("%s is the other service and is not tested itself", other)
			continue
		}
		p, err := probed(cmd, admin, s.Name, other)
		if err != nil {
			return err
		}
		answers, probes = append(answers, p), append(probes, p)
		if !c.JSON {
			if err := printProbe(c, p); err != nil {
				return err
			}
		}
	}
	if c.JSON {
		if err := c.PrintJSON(map[string]any{"probes": append([]api.ProbeResult{}, answers...)}); err != nil {
			return err
		}
	}
	if len(without) > 0 {
		c.Say("these services have no probe URL: %s", strings.Join(without, " "))
	}
	return judged(probes...)
}

// printProbe writes the result, and before it the checks that failed.
func printProbe(c *base.CLI, p api.ProbeResult) error {
	for _, check := range p.Checks {
		if check.Must == api.ProbeRefused && check.Outcome == api.ProbeAccepted {
			if err := c.Printf("%s", check.Text); err != nil {
				return err
			}
		}
	}
	return c.Printf("%s", verdictOf(p))
}

func probeLast(c *base.CLI, cmd *cobra.Command, admin *operator.Client) error {
	all, err := operator.Collect(admin.Probes(cmd.Context()))
	if err != nil {
		return err
	}
	var probes []api.ProbeResult
	rows := [][]string{{"SERVICE", "PROBED", "VERDICT"}}
	for _, a := range all {
		probes = append(probes, a)
		rows = append(rows, []string{a.Service, base.Moment(a.At), verdictOf(a)})
	}
	if c.JSON {
		err = c.PrintJSON(map[string]any{"probes": all})
	} else {
		err = c.PrintTable(rows)
	}
	return errors.Join(err, judged(probes...))
}
