package watchword_test

import (
	"os"
	"os/exec"
	"testing"
)

// F69. All that is run or imported on Windows compiles for it, and so do the tests of the SDK and of the commands:
// go vet checks the types of what it is given and compiles what that imports, without linking anything. The other
// platforms are those of scripts/crossbuild, whose flags are the same, so that both use the same build cache.
func TestEverythingCompilesForWindows(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "vet", "-trimpath", "./...", "./grpcauth/...", "./spiffeauth/...", "./server/cmd/...", "./server/internal/cli/...")
	cmd.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
