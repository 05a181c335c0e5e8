package callmap

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/callmap"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/directory"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

// Test makes the command "test".
func Test(c *base.CLI) *cobra.Command {
	var names []string
	var offline bool
	var junit string
	cmd := &cobra.Command{
		Use:   "test -f FILE|FOLDER",
		Short: "Run the tests of a call map file",
		Long: `Runs the tests of the files as if the files were applied, and changes nothing. With --offline the
command does not call a server: the files must declare every service and every trust that they name,
and what they do not own is not taken into account. The exit code is 1 if a test fails.`,
		Example: `  watchword test -f callmap.yaml
  watchword test -f callmap/ --offline
  watchword test -f callmap/ --offline --junit callmap.xml
  watchword test -f callmap/ --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, parsed, err := readFiles(c, cmd, names)
			if err != nil {
				return err
			}
			var results []api.CallMapTest
			if offline {
				results, err = testOffline(parsed, time.Now())
			} else {
				results, err = testOnServer(c, cmd, files)
			}
			if err != nil {
				return err
			}
			if junit != "" {
				if err := writeJUnit(junit, results); err != nil {
					return err
				}
			}
			return printTests(c, results)
		},
	}
	cmd.Flags().BoolVar(&offline, "offline", false, "do not call a server: use only what the files declare")
	cmd.Flags().StringVar(&junit, "junit", "", "also write the results to this new `file`, as JUnit XML")
	return base.AsOperator(c.WithJSON(withFiles(cmd, &names)))
}

func testOnServer(c *base.CLI, cmd *cobra.Command, files []api.CallMapFile) ([]api.CallMapTest, error) {
	admin, err := c.Admin(cmd)
	if err != nil {
		return nil, err
	}
	plan, err := planOn(c, cmd, admin, files, 0)
	return plan.Tests, err
}

// testOffline runs the tests on what the files declare, and nothing else.
func testOffline(parsed []*callmap.File, now time.Time) ([]api.CallMapTest, error) {
	plan, err := planOffline(parsed, nil, nil, now)
	if err != nil {
		return nil, mistakes(err)
	}
	return plan.Test(issuer.NewRehearser(plan.After(time.Hour), issuer.Options{PlainIssuer: "auth-server", Issuer: "http://localhost"}), now), nil
}

// planOffline plans the files for a server that has services and trusts of these names, and nothing else.
func planOffline(parsed []*callmap.File, there, trusts []string, now time.Time) (*callmap.Plan, error) {
	state := &directory.State{}
	for i, name := range there {
		state.Services = append(state.Services, directory.Service{Name: name, UID: directory.UID{byte(i), byte(i >> 8), byte(i >> 16), 1}})
	}
	for _, name := range trusts {
		state.Trusts = append(state.Trusts, directory.Trust{Name: name, ID: directory.NewTrustID()})
	}
	plan, err := callmap.Make(parsed, state, now)
	if err != nil {
		return nil, err
	}
	return plan, plan.Check(directory.Options{})
}

func printTests(c *base.CLI, results []api.CallMapTest) error {
	failed := 0
	for _, r := range results {
		if !r.Passed() {
			failed++
		}
	}
	if c.JSON {
		out := struct {
			Tests  []api.CallMapTest `json:"tests"`
			Failed int               `json:"failed"`
		}{append([]api.CallMapTest{}, results...), failed}
		if err := c.PrintJSON(out); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			if err := c.Printf("%s", r); err != nil {
				return err
			}
		}
		if len(results) == 0 {
			c.Say("the files contain no tests")
		} else {
			c.Say("%s", testSummary(len(results), failed))
		}
	}
	if failed > 0 {
		return base.ErrSaid
	}
	return nil
}

// writeJUnit writes results in the format that build servers read.
func writeJUnit(file string, results []api.CallMapTest) error {
	type failure struct {
		Message string `xml:"message,attr"`
	}
	type testcase struct {
		Class   string   `xml:"classname,attr"`
		Name    string   `xml:"name,attr"`
		File    string   `xml:"file,attr"`
		Line    int      `xml:"line,attr"`
		Failure *failure `xml:"failure,omitempty"`
	}
	type testsuite struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	suite := testsuite{Name: "callmap", Tests: len(results)}
	for _, r := range results {
		name := fmt.Sprintf("%s -> %s", r.From, r.To)
		if len(r.Scopes) > 0 {
			name += " " + strings.Join(r.Scopes, " ")
		}
		t := testcase{Class: r.File, Name: name + ": " + r.Expect, File: r.File, Line: r.Line}
		if !r.Passed() {
			suite.Failures++
			t.Failure = &failure{fmt.Sprintf("expected %s, got %s (%s)", r.Expect, r.Got, r.Why())}
		}
		suite.Cases = append(suite.Cases, t)
	}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	return base.WriteNewFile(file, 0o644, []byte(xml.Header+string(text)+"\n"))
}
