// Package platform contains what the commands about platforms' tokens share: reading such a token, finding the trust that
// it belongs to, proposing the claims of a credential, and printing what was compared.
package platform

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/trust"
)

// maxToken is the longest token of a platform that the server reads, in bytes.
const maxToken = 16 << 10

// Stdin is the name of the file that stands for standard input.
const Stdin = "-"

// Token is a token of a platform. Its signature was not verified: the server does that.
type Token struct {
	Text   string
	Issuer string // the issuer of the trust that it belongs to
	Claims *trust.Claims
}

// OptionalFile gives a command a flag that names a file, and stands for another value without one.
func OptionalFile(cmd *cobra.Command, to *string, name, without, usage string) {
	cmd.Flags().StringVar(to, name, "", usage)
	cmd.Flags().Lookup(name).NoOptDefVal = without
}

// MistakenFile makes a clearer error of the argument that is too many because it should be the value of an optional flag.
func MistakenFile(cmd *cobra.Command, err error, args []string, flags ...string) error {
	for _, flag := range flags {
		if f := cmd.Flag(flag); err != nil && f.Changed && f.Value.String() == f.NoOptDefVal && len(args) > 1 {
			if name := args[len(args)-1]; jose.LooksLikeToken(name) {
				return base.Usage(cmd, "a token must not be an argument, since every user of the machine can read it there: write it to standard input, or to a file and name that, as in --%s=FILE", flag)
			}
			return base.Usage(cmd, "write the file behind an equals sign, as in --%s=%s", flag, args[len(args)-1])
		}
	}
	return err
}

// Read reads a token from the file that a flag names, or from standard input if file is Stdin. Errors do not repeat any
// part of it.
func Read(c *base.CLI, cmd *cobra.Command, flag, file string) (*Token, error) {
	if err := base.TokenAsFile(cmd, flag, file); err != nil {
		return nil, err
	}
	const limit = maxToken + 64
	from := "standard input"
	var raw []byte
	var err error
	if file == Stdin {
		raw, err = c.ReadToken(cmd.Context(), limit)
	} else {
		from = file
		f, openErr := os.Open(file)
		if openErr != nil {
			return nil, fmt.Errorf("read the token: %w", base.PathError(openErr))
		}
		defer func() { _ = f.Close() }() // only read from
		raw, err = io.ReadAll(io.LimitReader(f, limit))
	}
	if err != nil {
		return nil, fmt.Errorf("read the token from %s: %w", from, base.PathError(err))
	}
	text := strings.TrimSpace(string(raw))
	switch {
	case text == "" && file == Stdin:
		return nil, base.Usage(cmd, "a token on standard input is missing")
	case text == "":
		return nil, base.Next(fmt.Errorf("%s is empty", from), "Have the platform write a token to it.")
	case len(text) > maxToken:
		return nil, fmt.Errorf("%s contains more than the %d KiB of the longest token", from, maxToken>>10)
	}
	malformed := base.Next(fmt.Errorf("%s does not contain a token of a platform, which is a signed JWT with claims", from),
		"Get one from the platform, as with: kubectl create token NAME -n NAMESPACE --audience AUDIENCE")
	parsed, err := jose.ParseLong(text, maxToken)
	if err != nil {
		return nil, malformed
	}
	t := &Token{Text: text}
	if t.Claims, err = trust.Parse(parsed.Payload); err != nil {
		return nil, malformed
	}
	t.Issuer, _ = t.Claims.Text("iss")
	if trust.Detect(t.Claims) == trust.SPIFFE {
		sub, _ := t.Claims.Text("sub")
		domain, _, err := trust.ParseSPIFFEID(sub)
		if err != nil {
			return nil, fmt.Errorf("the sub of the token is not the SPIFFE ID of a workload: %w", err)
		}
		t.Issuer = "spiffe://" + domain
	}
	if t.Issuer == "" {
		return nil, fmt.Errorf("the token has no issuer (iss), so it belongs to no trust")
	}
	return t, nil
}

// Trust returns the trust that the token belongs to. If name is not empty, it must be of that name.
func (t *Token) Trust(ctx context.Context, admin *operator.Client, name string) (api.Trust, error) {
	if name != "" {
		tr, err := admin.Trust(ctx, name)
		switch {
		case err != nil:
			return tr, Unknown(err, name)
		case tr.Issuer != t.Issuer:
			return tr, base.Next(fmt.Errorf("the token has the issuer %s, and the trust %s has the issuer %s, which are compared exactly", t.Issuer, name, tr.Issuer),
				"See the trusts with: watchword trust list")
		}
		return tr, nil
	}
	for tr, err := range admin.Trusts(ctx) {
		if err != nil {
			return api.Trust{}, err
		}
		if tr.Issuer == t.Issuer {
			return tr, nil
		}
	}
	return api.Trust{}, base.Next(fmt.Errorf("no trust has the issuer %s", t.Issuer), "Add one with: %s", t.addCommand())
}

// addCommand is the command that adds the trust of a token.
func (t *Token) addCommand() string {
	preset := trust.Detect(t.Claims)
	args := []string{"watchword", "trust", "add", "NAME", "--preset", preset}
	switch preset {
	case trust.Kubernetes:
		return strings.Join(append(args, "--from-kubeconfig"), " ") + "\nor, if the keys of the cluster are public: " + shell.Command(append(args, "--issuer", t.Issuer)...)
	case trust.SPIFFE:
		return shell.Command(append(args, "--issuer", t.Issuer, "--jwks-file", "BUNDLE")...)
	}
	return shell.Command(append(args, "--issuer", t.Issuer)...)
}

// Proposal is the claims of a credential for the workload that has a token.
type Proposal struct {
	Trust  api.Trust
	Claims map[string]string
	// Warned reports whether Show said that tokens of the workload prove another service.
	Warned bool
	token  *Token
	words  []string
}

// Propose returns the tightest claims for a token. What the server would refuse is an error here.
func Propose(t *Token, tr api.Trust) (*Proposal, error) {
	p := &Proposal{Trust: tr, token: t}
	p.Claims, p.words = trust.Propose(&tr.TrustSettings, t.Claims)
	var err error
	if p.Claims, err = trust.CheckClaims(&tr.TrustSettings, p.Claims); err != nil {
		problem := err.Error()
		if invalid, ok := errors.AsType[*trust.InvalidError](err); ok {
			problem = invalid.Problem
		}
		return nil, base.Next(fmt.Errorf("this token does not identify its workload: %s", problem), "%s", strings.Join(p.words[1:], "\n"))
	}
	return p, nil
}

// Show tells on standard error what tokens the credential accepts, and what service they prove already.
func (p *Proposal) Show(ctx context.Context, c *base.CLI, admin *operator.Client, service string) {
	c.Say("Tokens of %s will prove the service %s if they are for:", p.Trust.Name, service)
	c.Say("  %s", base.Line(p.words[0]))
	c.Say("That is, if they have exactly these claims:")
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		c.Say("  %s = %s", name, base.Line(p.Claims[name]))
	}
	for _, more := range p.words[1:] {
		c.Say("%s", base.Line(more))
	}
	args := []string{"watchword", "credential", "create", service, "--kind", api.KindWorkload, "--trust", p.Trust.Name}
	for _, name := range slices.Sorted(maps.Keys(p.Claims)) {
		args = append(args, "--claim", name+"="+p.Claims[name])
	}
	c.Say("To choose other claims, use: %s", shell.Command(args...))
	if already := p.already(ctx, admin, service); already != "" {
		p.Warned = true
		c.Say("warning: These tokens prove %s. A request that does not name the service (client_id, --as, WATCHWORD_CLIENT_ID) will be refused for both.", already)
	}
}

// already is the other service that the token of the proposal proves, in words. The nearest credential of a token that
// is refused counts if its claims are met: the token may have expired, or wait for the keys of the trust.
func (p *Proposal) already(ctx context.Context, admin *operator.Client, service string) string {
	v, err := admin.TestPlatformToken(ctx, api.PlatformTokenTest{Token: p.token.Text})
	if err != nil || v.Service == service {
		return "" // Check reports the error
	}
	if v.Reason == "ambiguous_workload" {
		return "several services already"
	}
	if v.Credential == "" {
		return ""
	}
	cr, err := admin.Credential(ctx, v.Credential)
	if err != nil || cr.Status != "active" || trust.Unmet(&p.Trust.TrustSettings, cr.Claims, p.token.Claims) > 0 {
		return ""
	}
	return v.Service + " already (credential " + v.Credential + ")"
}

// Confirm asks whether to create the credential, on the terminal also if the token was read from standard input.
func (p *Proposal) Confirm(c *base.CLI, cmd *cobra.Command, question string) error {
	return c.AskTerminal(cmd, question, "whoever has such a token becomes the service")
}

// Check tells on standard error whether the server accepts the token of the proposal as that of the service, which it
// may not: its audience may be another, or it may have expired.
func (p *Proposal) Check(ctx context.Context, c *base.CLI, admin *operator.Client, service string) {
	v, err := admin.TestPlatformToken(ctx, api.PlatformTokenTest{Token: p.token.Text, Service: service})
	switch {
	case err != nil:
		c.Say("The token could not be tested: %s", c.Text(err))
	case v.Accepted:
		c.Say("The server accepts this token as %s.", v.Service)
	default:
		c.Say("The server does not accept this token yet: %s (%s).", v.Text, v.Reason)
		for _, f := range v.Findings {
			if !f.Met {
				c.Say("  %s: seen %s, wanted %s. %s", f.Claim, cmp.Or(base.Line(f.Seen), "nothing"), base.Line(f.Wanted), base.Line(f.Hint))
			}
		}
	}
}

// PrintFindings writes what was compared, claim by claim: what differs comes first.
func PrintFindings(c *base.CLI, all []api.ClaimFinding) error {
	if len(all) == 0 {
		return nil
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b api.ClaimFinding) int {
		return cmp.Compare(map[bool]int{true: 1}[a.Met], map[bool]int{true: 1}[b.Met])
	})
	rows := [][]string{{"CLAIM", "MET", "SEEN", "WANTED", "HINT"}}
	for _, f := range sorted {
		rows = append(rows, []string{f.Claim, map[bool]string{true: "yes", false: "NO"}[f.Met], f.Seen, f.Wanted, f.Hint})
	}
	return c.PrintTable(rows)
}

// PrintVerdict writes what would come of a token.
func PrintVerdict(c *base.CLI, v api.PlatformTokenVerdict) error {
	text := "accepted: the token proves the service " + v.Service
	if !v.Accepted {
		text = fmt.Sprintf("refused: %s (%s)", base.Line(v.Text), v.Reason)
	}
	if err := c.Printf("%s", text); err != nil {
		return err
	}
	nearest := "credential"
	if !v.Accepted && v.Credential != "" {
		nearest = "nearest credential"
	}
	of := v.Credential
	if v.Service != "" && of != "" {
		of += " of " + v.Service
	}
	if v.Trust != "" || of != "" {
		if err := c.PrintFields("trust", v.Trust, nearest, of); err != nil {
			return err
		}
	}
	if err := PrintFindings(c, v.Findings); err != nil || v.Accepted {
		return err
	}
	if v.Advice != "" {
		return c.Printf("What to do: %s\nSee %s", base.Line(v.Advice), v.See)
	}
	return nil
}

// Unknown turns "not found" into an error that tells how to add the trust.
func Unknown(err error, name string) error {
	if base.StatusOf(err) != 404 {
		return err
	}
	return base.Next(fmt.Errorf("there is no trust %q", name), "List the trusts with: watchword trust list\nAdd it with: %s", shell.Command("watchword", "trust", "add", name, "--help"))
}

// Attention returns what needs attention about trusts, a line each.
func Attention(all ...api.Trust) (lines []string) {
	for _, t := range all {
		for _, problem := range t.Problems {
			lines = append(lines, fmt.Sprintf("trust %s: %s", t.Name, problem))
		}
	}
	return lines
}

// Unmatched returns the credentials that no token has matched for long, a line each.
func Unmatched(all []api.Credential, now time.Time) (lines []string) {
	for _, cr := range all {
		since := cr.CreatedAt
		if cr.LastUsedAt != nil {
			since = *cr.LastUsedAt
		}
		if cr.Kind == api.KindWorkload && cr.Status == "active" && now.Sub(since) > directory.UnmatchedAfter {
			lines = append(lines, fmt.Sprintf("credential %s: no token of trust %s has matched it since %s", cr.ID, cr.Trust, base.Moment(since)))
		}
	}
	return lines
}

// PrintAttention writes what needs attention, before the rest of an answer.
func PrintAttention(c *base.CLI, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	for i, line := range lines {
		lines[i] = "  " + base.Line(line)
	}
	return c.Printf("Needs attention:\n%s\n", strings.Join(lines, "\n"))
}

// Claims are the claims of a credential in words.
func Claims(claims map[string]string) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		all = append(all, name+"="+claims[name])
	}
	return strings.Join(all, " ")
}
