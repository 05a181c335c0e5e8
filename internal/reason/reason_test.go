package reason

import (
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var isName = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

func TestEntriesSayWhatIsWrongAndWhatToDo(t *testing.T) {
	names := map[string]bool{}
	for _, g := range table {
		if g.Title == "" || !strings.HasSuffix(g.About, ".") {
			t.Errorf("group %q: about %q", g.Title, g.About)
		}
		for _, e := range g.Entries {
			switch {
			case !isName.MatchString(e.Name), names[e.Name]:
				t.Errorf("%q is no name, or there twice", e.Name)
			case !strings.HasSuffix(e.Means, "."), !strings.HasSuffix(e.Do, "."):
				t.Errorf("%s: %q and %q are no sentences", e.Name, e.Means, e.Do)
			case len(seen(e)) == 0:
				t.Errorf("%s is seen nowhere", e.Name)
			}
			for _, status := range []int{e.OAuth, e.AccessToken, e.Operator, e.Resource} {
				if status != 0 && (status < 400 || http.StatusText(status) == "") {
					t.Errorf("%s: status %d", e.Name, status)
				}
			}
			names[e.Name] = true
		}
	}
}

// A rule that exists is not set again, nor a credential created for a service that is disabled: only the reasons
// that this corrects say so.
func TestAdviceMendsWhatIsWrong(t *testing.T) {
	for command, reasons := range map[string][]string{
		"watchword allow":             {"no_rule", "exchange_not_allowed"},
		"watchword credential create": {"no_credential", "unknown_credential", "wrong_secret", "wrong_certificate", "claims_differ", "no_matching_credential"},
		"watchword service enable":    {"caller_disabled", "target_disabled"},
	} {
		for _, g := range table {
			for _, e := range g.Entries {
				if got := strings.Contains(e.Do, command); got != slices.Contains(reasons, e.Name) {
					t.Errorf("%s: it advises %s: %t", e.Name, command, got)
				}
			}
		}
	}
}

// Every code and reason in the source is in the table, and nothing else is.
func TestTableIsWhatTheCodeSays(t *testing.T) {
	found := map[string]string{}
	for _, dir := range []string{
		"verify", "server/internal/web", "server/internal/endpoint", "server/internal/issuer", "server/internal/clientauth", "server/internal/policy",
		"server/internal/revocation", "server/internal/supertokens", "server/internal/app", "server/internal/admin",
	} {
		files, err := filepath.Glob("../../" + dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(dir, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				for _, name := range namesIn(n) {
					found[name] = f
				}
				return true
			})
		}
	}
	for name, where := range found {
		if _, ok := Find(name); !ok {
			t.Errorf("%s of %s is not in the table", name, where)
		}
	}
	for _, g := range table {
		for _, e := range g.Entries {
			if found[e.Name] == "" {
				t.Errorf("%s is in the table, and nowhere in the code", e.Name)
			}
		}
	}
}

// namesIn are the codes and reasons that a node has where the code writes them.
func namesIn(n ast.Node) (names []string) {
	add := func(all ...ast.Expr) {
		for _, e := range all {
			// Not what a call in it is given.
			if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil && isName.MatchString(s) {
					names = append(names, s)
				}
			}
		}
	}
	switch n := n.(type) {
	case *ast.KeyValueExpr: // Refusal{Reason: "..."}
		if k, ok := n.Key.(*ast.Ident); ok && isField(k.Name) {
			add(n.Value)
		}
	case *ast.CallExpr: // malformed("...", ...), problem("...")
		switch name := calledName(n); name {
		case "malformed", "problem", "refuse", "refusal", "Refuse":
			add(n.Args...)
		}
	case *ast.AssignStmt: // why = "..."
		for i, l := range n.Lhs {
			if i < len(n.Rhs) && isField(lastName(l)) {
				add(n.Rhs[i])
			}
		}
	case *ast.ReturnStmt:
		add(n.Results...)
	case *ast.ValueSpec: // const NoRule Reason = "..."
		if t, ok := n.Type.(*ast.Ident); ok && t.Name == "Reason" {
			add(n.Values...)
		}
		for i, name := range n.Names {
			if i < len(n.Values) && isField(name.Name) {
				add(n.Values[i])
			}
		}
	}
	return slices.DeleteFunc(names, func(s string) bool { return slices.Contains(others, s) })
}

// others are words that stand in the same places, and are neither codes nor reasons.
var others = []string{"devel"}

func isField(name string) bool {
	switch strings.ToLower(name) {
	case "reason", "why", "code":
		return true
	}
	return false
}

func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func calledName(c *ast.CallExpr) string { return lastName(c.Fun) }

func TestFindingAnEntry(t *testing.T) {
	for name, want := range map[string]struct{ text, see string }{
		"no_rule":                     {"no rule allowed it", "docs/errors.md#no_rule"},
		"subject_token_expired":       {"the token to exchange is not valid. The credential or token has expired", "docs/errors.md#expired"},
		"subject_token_of_probe":      {"the token to exchange was issued for a probe", "docs/errors.md#subject_token_of_probe"},
		"of_another_version":          {"of another version", ""},
		"subject_token_of_the_future": {"subject token of the future", ""},
		"dpop_nonce_needed":           {"the DPoP proof contained no nonce of this server, or an old one", "docs/errors.md#dpop_nonce_needed"},
	} {
		if got := Text(name); got != want.text {
			t.Errorf("%s: got %q, want %q", name, got, want.text)
		}
		if got := See(name); got != want.see {
			t.Errorf("%s: see %q, want %q", name, got, want.see)
		}
	}
	if got := Clause("One thing is wrong.", "DPoP is another.", "Iss is a third."); got != "one thing is wrong; DPoP is another; iss is a third" {
		t.Errorf("got %q", got)
	}
}
