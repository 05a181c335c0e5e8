package client_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The code in docs/clients/go-sdk.md is run: each block is a part of an example.
func TestCodeOfTheDocumentationIsThatOfTheExamples(t *testing.T) {
	var examples strings.Builder
	for _, pattern := range []string{"example*_test.go", "../grpcauth/example*_test.go", "../spiffeauth/example*_test.go", "../operator/example*_test.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			must(t, err)
			examples.Write(b)
		}
	}
	page, err := os.ReadFile("../docs/clients/go-sdk.md")
	must(t, err)
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) < 5 {
		t.Errorf("only %d blocks of code", len(blocks))
	}
	for _, b := range blocks {
		code, _, _ := strings.Cut(b, "```")
		if !strings.Contains(examples.String(), code) {
			t.Errorf("not in any example:\n%s", code)
		}
	}
}
