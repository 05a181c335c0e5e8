package interop

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/watchword-dev/watchword/internal/needs"
)

// platform returns the folder with the programs of a platform, which scripts/platforms builds.
func platform(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("platforms", name, "go.sum"))
	must(t, err)
	sum := sha256.Sum256(text)
	cache, err := os.UserCacheDir()
	must(t, err)
	dir := filepath.Join(cache, "watchword", "platforms", name+"-"+hex.EncodeToString(sum[:8]))
	if _, err := os.Stat(dir); err != nil {
		needs.Missing(t, "There is no "+name+", which these tests run. Build it: scripts/platforms "+name)
	}
	return dir
}

// builtFrom returns the module of a program and its version.
func builtFrom(t *testing.T, program string) string {
	t.Helper()
	info, err := buildinfo.ReadFile(program)
	must(t, err)
	return info.Main.Path + " " + info.Main.Version
}
