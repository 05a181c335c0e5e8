// Package needs ends the tests for which something is missing on this machine.
package needs

import (
	"os"
	"testing"
)

// Missing ends a test. Plain `go test ./...` is for machines that have only Go, and skips the test; in CI, and with
// WWTEST=all as scripts/test sets it, what is missing is a failure.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" || os.Getenv("WWTEST") == "all" {
		t.Fatal(what)
	}
	t.Skip(what)
}
