//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/watchword-dev/watchword/internal/needs"
)

// systemd understands the unit that docs/join/systemd.md shows. The program that it starts is another one here.
func TestSystemdUnderstandsTheUnitOfThePage(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		needs.Missing(t, "There is no systemd-analyze: apt-get install systemd")
	}
	_, rest, _ := strings.Cut(readText(t, filepath.Join(checkout, "docs/join/systemd.md")), "```ini\n")
	unit, _, _ := strings.Cut(rest, "```\n")
	const starts = "ExecStart=/usr/local/bin/m1\n"
	if !strings.Contains(unit, starts) || !strings.Contains(unit, "LoadCredentialEncrypted=") {
		t.Fatalf("the unit is %q", unit)
	}
	verify := func(unit string) string {
		file := filepath.Join(t.TempDir(), "m1.service")
		if err := os.WriteFile(file, []byte(unit), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", file).CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		// It also reports mistakes in units of this machine.
		return strings.Join(slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return !strings.Contains(line, "m1.service") }), "\n")
	}
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	unit = strings.Replace(unit, starts, "ExecStart="+program+"\n", 1)
	if out := verify(unit); out != "" {
		t.Errorf("systemd-analyze verify: %s", out)
	}
	if out := verify(strings.Replace(unit, "LoadCredentialEncrypted", "LoadCredentialEncypted", 1)); !strings.Contains(out, "LoadCredentialEncypted") {
		t.Errorf("a word that systemd does not know gives %q", out)
	}
}
