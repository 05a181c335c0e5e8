// Package watchword_test checks the structure of the repository: which package may import which, and that every
// package has a comment.
package watchword_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/watchword-dev/watchword/"

// arrows lists, for each package, the packages of this module it may import. The arrows point
// one way: cmd, app, what is called, issuer, then clientauth, directory and keys, then policy.
var arrows = map[string][]string{
	"server/internal/policy":     {},
	"server/internal/cowmap":     {},
	"server/internal/disk":       {},
	"server/internal/spelling":   {},
	"server/internal/buildinfo":  {},
	"internal/strictjson":        {},
	"server/internal/audit":      {"api", "server/internal/disk", "server/internal/redact", "server/internal/throttle", "internal/strictjson"},
	"server/internal/logs":       {"server/internal/redact"},
	"server/internal/redact":     {},
	"internal/jose":              {"internal/strictjson"},
	"internal/dpop":              {"internal/jose", "internal/strictjson"},
	"internal/incoming":          {},
	"internal/shell":             {},
	"internal/leaktest":          {},
	"internal/needs":             {},
	"internal/netaddr":           {},
	"api":                        {"internal/jose"},
	"operator":                   {"api", "internal/netaddr"},
	"internal/reason":            {},
	"server/internal/web":        {"server/internal/throttle"},
	"server/internal/config":     {"api", "internal/netaddr", "server/internal/spelling"},
	"server/internal/directory":  {"api", "server/internal/policy", "server/internal/cowmap", "server/internal/trust"},
	"server/internal/keys":       {"server/internal/directory", "server/internal/disk", "internal/jose"},
	"server/internal/outbound":   {},
	"server/internal/keysets":    {"server/internal/outbound", "internal/jose", "internal/netaddr", "internal/strictjson"},
	"server/internal/clientauth": {"api", "server/internal/policy", "server/internal/directory", "internal/jose", "server/internal/keysets", "server/internal/trust", "server/internal/once", "server/internal/throttle", "server/internal/redact"},
	"server/internal/once":       {},
	"server/internal/throttle":   {},
	"server/internal/trust":      {"api", "internal/netaddr", "internal/strictjson", "server/internal/spelling"},
	"server/internal/revocation": {"server/internal/cowmap", "server/internal/directory", "internal/jose", "server/internal/keys", "server/internal/web"},
	"server/internal/issuer":     {"api", "server/internal/audit", "server/internal/clientauth", "server/internal/directory", "internal/dpop", "internal/jose", "server/internal/keys", "server/internal/once", "server/internal/policy", "server/internal/trust", "server/internal/usage"},
	"server/internal/usage":      {"server/internal/policy"},
	"server/internal/callmap":    {"api", "internal/shell", "server/internal/directory", "server/internal/issuer", "server/internal/policy", "server/internal/spelling", "server/internal/trust"},
	"server/internal/probe":      {"api", "server/internal/outbound", "server/internal/directory", "internal/dpop", "server/internal/issuer", "internal/jose"},
	"server/internal/explain":    {"api", "internal/reason", "internal/shell", "server/internal/directory", "server/internal/policy", "server/internal/usage"},

	// What is called, by services and by operators. These never import each other.
	"server/internal/endpoint":    {"api", "server/internal/clientauth", "server/internal/directory", "internal/dpop", "internal/reason", "server/internal/issuer", "internal/strictjson", "server/internal/web"},
	"server/internal/supertokens": {"server/internal/audit", "server/internal/directory", "internal/jose", "server/internal/keys", "internal/strictjson", "server/internal/web"},
	"server/internal/admin":       {"api", "internal/reason", "server/internal/audit", "server/internal/callmap", "server/internal/clientauth", "server/internal/directory", "server/internal/explain", "server/internal/issuer", "internal/jose", "internal/netaddr", "server/internal/keys", "server/internal/keysets", "server/internal/policy", "server/internal/probe", "internal/strictjson", "server/internal/throttle", "server/internal/usage", "server/internal/web"},

	// The store imports the domain, never the other way.
	"server/internal/store":        {"internal/netaddr", "server/internal/directory", "server/internal/disk", "server/internal/keys", "server/internal/once", "server/internal/policy", "server/internal/supertokens", "server/internal/usage"},
	"server/internal/store/pgtest": {"internal/needs"},
	"server/internal/pages":        {"internal/needs"},

	"server/internal/store/storetest": {"server/internal/directory"},

	// The SDK brings nothing of the server with it.
	"client":                        {"api", "internal/shell", "internal/dpop", "internal/incoming", "internal/jose", "internal/reason", "internal/netaddr", "internal/strictjson"},
	"client/clienttest":             {"api", "internal/dpop", "internal/jose", "internal/reason", "internal/strictjson", "client"},
	"verify":                        {"internal/dpop", "internal/incoming", "internal/jose", "internal/netaddr", "internal/strictjson"},
	"verify/verifytest":             {"internal/dpop", "internal/jose", "verify"},
	"examples/microservice":         {"client", "examples/microservice/service", "internal/netaddr"},
	"examples/microservice/service": {"client", "verify"},
}

// fences names the one package that may import a library, for libraries that would leak
// their types or their weight everywhere.
var fences = map[string]string{
	"github.com/go-jose/go-jose/":    "internal/jose",
	"github.com/danielgtaylor/huma/": "server/internal/admin",
	"modernc.org/sqlite":             "server/internal/store server/internal/store/storetest",
	"github.com/jackc/pgx/":          "server/internal/store server/internal/store/storetest server/internal/store/pgtest",
	"github.com/pressly/goose/":      "server/internal/store",
	"github.com/pires/go-proxyproto": "server/internal/app",
	"github.com/spf13/cobra":         "server/internal/cli server/internal/cli/*",
	"go.yaml.in/yaml/":               "server/internal/config server/internal/callmap",
	"github.com/go-json-experiment/": "internal/strictjson internal/jose server/internal/supertokens",
}

// outermost packages may import anything. Nothing imports them but the command line, which imports app, and tests.
var outermost = []string{"server/cmd/watchword", "server/internal/limits", "server/internal/cli", "server/internal/cli/*", "server/internal/app", "server/internal/differential", "server/internal/bench", "server/internal/conformance", "server/interop"}

type goPackage struct {
	ImportPath, Dir, Doc string
	Imports              []string
	GoFiles              []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Dir,Doc,Imports,GoFiles", "./...", "./server/...").Output()
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
				if strings.HasPrefix(i, library) && !matches(strings.Fields(where), name) {
					t.Errorf("%s imports %s, which only %s may", name, i, where)
				}
			}
		}
		if !known && !matches(outermost, name) {
			t.Errorf("%s is not in this test's list of packages: say there what it may import", name)
		}
	}
}

// matches reports whether name is one of patterns, which are those of path.Match.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	})
}

// An operator pastes the commands that are printed. The names in them come from whoever made a request, so
// that package shell has to quote them: text with a place for a value, or joined to one, does not.
func TestF10CommandsWithNamesAreMadeByPackageShell(t *testing.T) {
	const command = `(?:\./)?watchword (?:allow|apply|audit|blast|callmap|config|credential|demo|disallow|explain|graph|impact|keys|plan|probe|revocation|rules|serve|service|status|suggest|test|token|unused|why)\b`
	filled, open := regexp.MustCompile(command+"[^\n`]*%[a-z]"), regexp.MustCompile(command+"[^\n`]*$")
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			text := func(e ast.Expr) string {
				lit, ok := e.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return ""
				}
				s, _ := strconv.Unquote(lit.Value)
				return s
			}
			ast.Inspect(file, func(n ast.Node) bool {
				bad := ""
				switch n := n.(type) {
				case *ast.BinaryExpr:
					if s := text(n.X); n.Op == token.ADD && open.MatchString(s) {
						bad = s
					} else if sum, ok := n.X.(*ast.BinaryExpr); ok && n.Op == token.ADD && open.MatchString(text(sum.Y)) {
						bad = text(sum.Y)
					}
				case *ast.CallExpr:
					for _, arg := range n.Args {
						if s := text(arg); filled.MatchString(s) {
							bad = s
						}
					}
				}
				if bad != "" {
					t.Errorf("%s/%s: a name is written into %q, which shell.Command has to do", p.ImportPath, name, bad)
				}
				return true
			})
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

// Programs that speak HTTP only are not to link gRPC: grpcauth and spiffeauth are modules of their own.
// Each package has a row in the table of ARCHITECTURE.md, or is below one that has, and each row is for a package.
func TestArchitectureNamesEveryPackageOnce(t *testing.T) {
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "## Packages")
	table, _, _ = strings.Cut(table, "\n## ")
	rows := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(table, -1) {
		for name := range strings.SplitSeq(strings.ReplaceAll(row[1], "`", ""), ", ") {
			if rows[name] {
				t.Errorf("%s has two rows", name)
			}
			rows[name] = true
			if _, err := os.Stat(name); err != nil {
				if _, err := os.Stat(filepath.Join("server", name)); err != nil {
					t.Errorf("%s has a row and is not there", name)
				}
			}
		}
	}
	for _, p := range packages(t) {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "server/")
		for at := name; !rows[at]; at = path.Dir(at) {
			if at == "." {
				t.Errorf("%s has no row in ARCHITECTURE.md", name)
				break
			}
		}
	}
}

func TestNothingHereLinksGRPC(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./...", "./server/...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for p := range strings.Lines(string(out)) {
		if strings.HasPrefix(p, "google.golang.org/grpc") {
			t.Errorf("something imports %s", strings.TrimSpace(p))
		}
	}
}
