//go:build unix

package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/server/internal/pages"
)

// runPage runs a page of the documentation with the programs of this repository on the PATH, and with this in the
// environment. The page says that the test runs it.
func runPage(t *testing.T, name string, env ...string) {
	t.Helper()
	all := pages.Read(t, "../..")
	i := slices.IndexFunc(all, func(p pages.Page) bool { return p.Name == name })
	if i < 0 || all[i].RunBy != t.Name() {
		t.Fatalf("%s does not say: <!-- run in server/interop: %s -->", name, t.Name())
	}
	path := os.Getenv("PATH")
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			path = value
		}
	}
	all[i].Run(t, append(env, "PATH="+filepath.Dir(program(t))+string(filepath.ListSeparator)+path)...)
}

// With the page alone, a pod calls another service with nothing stored, and a service account that was made again is
// refused.
func TestPageOfKubernetes(t *testing.T) {
	runPage(t, "docs/join/kubernetes.md", startKubernetes(t, clusterIssuer).env()...)
}

// With the page alone, a workload of a trust domain calls another with its JWT-SVID, and gets a token with its X.509-SVID.
func TestPageOfSPIFFE(t *testing.T) {
	runPage(t, "docs/join/spiffe.md", startSPIRE(t, "example.org").onDefaultSockets(t)...)
}

// onDefaultSockets is an environment in which the commands of SPIRE find both where they look.
func (s *spire) onDefaultSockets(t *testing.T) []string {
	t.Helper()
	dir := t.TempDir()
	for name, socket := range map[string]string{"spire-server": s.sockets.server, "spire-agent": s.sockets.agent} {
		script := fmt.Sprintf("#!/bin/sh\nexec %q \"$@\" -socketPath %q\n", filepath.Join(s.programs, name), socket)
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o700))
	}
	return []string{"PATH=" + dir + string(filepath.ListSeparator) + os.Getenv("PATH")}
}
