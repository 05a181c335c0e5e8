// Package watchword_test holds the shape of the house: who may import whom, and that every
// package says what it is for.
package watchword_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/watchword-dev/watchword/"

// arrows lists, for each package, the packages of this module it may import. The arrows point
// one way: cmd, app, doors, issuer, then clientauth, directory and keys, then policy.
var arrows = map[string][]string{
	"internal/policy":     {},
	"internal/cowmap":     {},
	"internal/strictjson": {},
	"internal/audit":      {"internal/strictjson"},
	"internal/jose":       {"internal/strictjson"},
	"internal/dpop":       {"internal/jose", "internal/strictjson"},
	"internal/incoming":   {},
	"internal/web":        {},
	"internal/config":     {},
	"internal/directory":  {"internal/policy", "internal/cowmap"},
	"internal/keys":       {"internal/directory", "internal/jose"},
	"internal/clientauth": {"internal/directory", "internal/jose", "internal/once", "internal/throttle"},
	"internal/once":       {},
	"internal/throttle":   {},
	"internal/revocation": {"internal/directory", "internal/jose", "internal/keys", "internal/web"},
	"internal/issuer":     {"internal/audit", "internal/clientauth", "internal/directory", "internal/dpop", "internal/jose", "internal/keys", "internal/once", "internal/policy", "internal/usage"},
	"internal/usage":      {"internal/policy"},
	"internal/callmap":    {"internal/directory", "internal/policy"},
	"internal/probe":      {"internal/directory", "internal/issuer"},
	"internal/explain":    {"internal/directory", "internal/policy", "internal/usage"},

	// The doors, which never import each other.
	"internal/accesstoken": {"internal/clientauth", "internal/directory", "internal/dpop", "internal/issuer", "internal/strictjson", "internal/web"},
	"internal/oauth":       {"internal/clientauth", "internal/directory", "internal/dpop", "internal/issuer", "internal/web"},
	"internal/supertokens": {"internal/audit", "internal/directory", "internal/jose", "internal/keys", "internal/strictjson", "internal/web"},
	"internal/admin":       {"internal/audit", "internal/callmap", "internal/clientauth", "internal/directory", "internal/explain", "internal/issuer", "internal/jose", "internal/keys", "internal/policy", "internal/probe", "internal/strictjson", "internal/throttle", "internal/usage", "internal/web"},

	// The store imports the domain, never the other way.
	"internal/store":        {"internal/directory", "internal/keys", "internal/once", "internal/policy", "internal/supertokens", "internal/usage"},
	"internal/store/pgtest": {},

	"internal/store/storetest": {"internal/directory"},

	// The SDK brings nothing of the server with it.
	"client":                        {"internal/dpop", "internal/incoming", "internal/jose", "internal/strictjson"},
	"client/clienttest":             {"internal/dpop", "internal/jose", "internal/strictjson", "client"},
	"verify":                        {"internal/dpop", "internal/incoming", "internal/jose", "internal/strictjson"},
	"verify/verifytest":             {"internal/dpop", "internal/jose", "verify"},
	"examples/microservice":         {"client", "examples/microservice/service"},
	"examples/microservice/service": {"client", "verify"},
}

// fences names the one package that may import a library, for libraries that would leak
// their types or their weight everywhere.
var fences = map[string]string{
	"github.com/go-jose/go-jose/":    "internal/jose",
	"github.com/danielgtaylor/huma/": "internal/admin",
	"modernc.org/sqlite":             "internal/store internal/store/storetest",
	"github.com/jackc/pgx/":          "internal/store internal/store/storetest internal/store/pgtest",
	"github.com/pressly/goose/":      "internal/store",
	"github.com/spf13/cobra":         "cmd/watchword",
	"go.yaml.in/yaml/":               "internal/config internal/callmap",
	"github.com/go-json-experiment/": "internal/strictjson internal/jose internal/supertokens",
}

// outermost packages may import anything: nothing imports them, but for app, which cmd does.
var outermost = []string{"cmd/watchword", "internal/app", "internal/adminclient", "internal/bench", "internal/conformance", "interop"}

type goPackage struct {
	ImportPath, Doc string
	Imports         []string
	GoFiles         []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,GoFiles", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 {
			all = append(all, p)
		}
	}
	if len(all) < len(arrows) {
		t.Fatalf("go list found %d packages, fewer than the %d this test knows", len(all), len(arrows))
	}
	return all
}

func TestArrowsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		allowed, known := arrows[name]
		for _, i := range p.Imports {
			own, inside := strings.CutPrefix(i, module)
			if inside && known && !slices.Contains(allowed, own) {
				t.Errorf("%s imports %s, which it may not: see arrows in this file", name, own)
			}
			for library, where := range fences {
				if strings.HasPrefix(i, library) && !slices.Contains(strings.Fields(where), name) {
					t.Errorf("%s imports %s, which only %s may", name, i, where)
				}
			}
		}
		if !known && !slices.Contains(outermost, name) {
			t.Errorf("%s is not in this test's list of packages: say there what it may import", name)
		}
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// Programs that speak HTTP only are not to link gRPC: grpcauth is a module of its own.
func TestNothingHereLinksGRPC(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for p := range strings.Lines(string(out)) {
		if strings.HasPrefix(p, "google.golang.org/grpc") {
			t.Errorf("something imports %s", strings.TrimSpace(p))
		}
	}
}
