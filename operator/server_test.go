package operator_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
)

// A server of this repository, on which the examples run too.
var (
	adminURL string // as in http://127.0.0.1:8010
	token    string // in the file operator.token of the data folder of the server
)

// TestMain starts the server.
func TestMain(m *testing.M) {
	if _, err := os.Stat("../server/go.mod"); errors.Is(err, fs.ErrNotExist) && os.Getenv("WWTEST") != "all" {
		fmt.Println("not tested: the server is not beside this module, as it is in the repository")
		return
	}
	dir, err := os.MkdirTemp("", "watchword")
	if err != nil {
		panic(err)
	}
	code := 1
	if stop, err := startServer(dir); err != nil {
		fmt.Fprintln(os.Stderr, "start the server of this repository:", err)
	} else {
		code = m.Run()
		stop()
	}
	_ = os.RemoveAll(dir) // a folder for temporary files
	os.Exit(code)
}

var listening = regexp.MustCompile(`msg=listening for=operators url=(\S+)`)

func startServer(dir string) (stop func(), err error) {
	// go test answers from its cache only while what a test looked at is the same.
	err = filepath.WalkDir("../server", func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			_, err = os.Stat(path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "watchword")
	build := exec.Command("go", "build", "-o", program, "./cmd/watchword")
	build.Dir = filepath.Join("..", "server")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	data := filepath.Join(dir, "data")
	serve := exec.Command(program, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
	log, err := serve.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := serve.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = serve.Process.Signal(syscall.SIGTERM) // Wait tells how it ended
		_ = serve.Wait()
	}
	var lines []string
	for scanner := bufio.NewScanner(log); adminURL == "" && scanner.Scan(); {
		lines = append(lines, scanner.Text())
		if found := listening.FindStringSubmatch(scanner.Text()); found != nil {
			adminURL = found[1]
		}
	}
	go func() { // what it still says must not fill the pipe
		for scanner := bufio.NewScanner(log); scanner.Scan(); {
		}
	}()
	raw, err := os.ReadFile(filepath.Join(data, "operator.token"))
	if err == nil && adminURL == "" {
		err = fmt.Errorf("it does not listen:\n%s", strings.Join(lines, "\n"))
	}
	if err != nil {
		stop()
		return nil, err
	}
	token = strings.TrimSpace(string(raw))
	return stop, nil
}

// operations are those of the OpenAPI document, as METHOD /path/{name}.
func operations(t *testing.T) (all []string) {
	t.Helper()
	resp, err := http.Get(adminURL + "/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&document); err != nil {
		t.Fatal(err)
	}
	for path, item := range document.Paths {
		for method := range item {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	return all
}

var parameter = regexp.MustCompile(`\\\{[^/]*\\\}`)

// Each operation of the API has a method, and each method sends what the server takes.
func TestEveryOperationOfTheAPIHasAMethod(t *testing.T) {
	target, err := url.Parse(adminURL)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked []string
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }}
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked = append(asked, r.Method+" "+r.URL.Path)
		mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	defer between.Close()
	c, err := operator.New(between.URL, token)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	// status is of a refusal that says that the request was understood.
	status := func(what string, err error, want int) {
		t.Helper()
		if operator.StatusOf(err) != want {
			t.Errorf("%s: got %v, want status %d", what, err, want)
		}
	}
	for _, name := range []string{"a", "b"} {
		_, err = c.CreateService(ctx, api.NewService{Name: name, ServicePatch: api.ServicePatch{Audiences: &[]string{"urn:all:" + name}}})
		must("CreateService", err)
	}
	services, err := operator.Collect(c.Services(ctx))
	if must("Services", err); len(services) < 2 {
		t.Errorf("got the services %v", services)
	}
	s, err := c.Service(ctx, "a")
	must("Service", err)
	s, err = c.UpdateService(ctx, "a", s.Version, api.ServicePatch{Owner: new("anna")})
	if must("UpdateService", err); s.Owner != "anna" || len(s.Audiences) != 1 {
		t.Errorf("got %+v", s)
	}
	_, err = c.UpdateService(ctx, "a", s.Version+1, api.ServicePatch{Owner: new("otto")})
	status("UpdateService of another version", err, http.StatusPreconditionFailed)

	issued, err := c.CreateCredential(ctx, "a", api.NewCredential{Kind: api.KindSecret, TTLSeconds: 3600})
	if must("CreateCredential", err); issued.Secret == "" {
		t.Error("no secret")
	}
	rotated, err := c.RotateCredential(ctx, issued.Credential.ID, api.CredentialRotation{OverlapSeconds: new(int64(0))})
	if must("RotateCredential", err); rotated.Replaced.ID != issued.Credential.ID {
		t.Errorf("got %+v", rotated)
	}
	_, err = c.Credential(ctx, issued.Credential.ID)
	must("Credential", err)
	_, err = c.RevokeCredential(ctx, rotated.Credential.ID)
	must("RevokeCredential", err)
	for _, of := range []string{"", "a"} {
		all, err := operator.Collect(c.Credentials(ctx, of))
		if must("Credentials", err); len(all) < 2 {
			t.Errorf("got %v", all)
		}
	}

	rule, created, err := c.PutRule(ctx, "a", "b", operator.NoVersion, api.RuleTerms{})
	if must("PutRule", err); !created {
		t.Error("PutRule made no rule")
	}
	_, _, err = c.PutRule(ctx, "a", "b", operator.NoVersion, api.RuleTerms{})
	status("PutRule again", err, http.StatusPreconditionFailed)
	_, _, err = c.ChangeRule(ctx, "a", "b", func(r *api.RuleTerms) { r.Scopes = []string{"read"} })
	must("ChangeRule", err)
	status("DeleteRule of another version", c.DeleteRule(ctx, "a", "b", rule.Version), http.StatusPreconditionFailed)
	rule, err = c.Rule(ctx, "a", "b")
	if must("Rule", err); !slices.Equal(rule.Scopes, []string{"read"}) {
		t.Errorf("got %+v", rule)
	}
	rules, err := operator.Collect(c.Rules(ctx, "a", "b"))
	if must("Rules", err); len(rules) != 1 {
		t.Errorf("got the rules %v", rules)
	}

	signing, err := c.Keys(ctx)
	must("Keys", err)
	key, err := c.RotateKeys(ctx, api.KeyRotation{Use: "credential", Now: true})
	must("RotateKeys", err)
	_, err = c.RevokeKey(ctx, key.ID)
	must("RevokeKey", err)
	_, err = c.ResealKeys(ctx)
	must("ResealKeys", err)

	jti := strings.Repeat("0123456789abcdef", 2)
	_, err = c.RevokeToken(ctx, api.NewRevocation{JTI: jti})
	must("RevokeToken", err)
	_, err = c.Revocation(ctx, jti)
	must("Revocation", err)
	revocations, err := operator.Collect(c.Revocations(ctx))
	if must("Revocations", err); len(revocations) != 1 {
		t.Errorf("got %v", revocations)
	}
	made, err := c.CreateTrust(ctx, api.NewTrust{Name: "prod", TrustPatch: api.TrustPatch{Issuer: new("https://issuer.example.com")}})
	must("CreateTrust", err)
	_, err = c.UpdateTrust(ctx, "prod", made.Version, api.TrustPatch{Disabled: new(true)})
	must("UpdateTrust", err)
	one, err := c.Trust(ctx, "prod")
	if must("Trust", err); !one.Disabled || len(one.Problems) != 1 {
		t.Errorf("got %+v", one)
	}
	trusts, err := operator.Collect(c.Trusts(ctx))
	if must("Trusts", err); len(trusts) != 1 {
		t.Errorf("got the trusts %v", trusts)
	}
	_, err = c.TrustKeys(ctx, "prod")
	must("TrustKeys", err)
	_, err = c.RefreshTrustKeys(ctx, "prod")
	must("RefreshTrustKeys", err)
	verdict, err := c.TestPlatformToken(ctx, api.PlatformTokenTest{Token: "a.b.c"})
	if must("TestPlatformToken", err); verdict.Accepted || verdict.Reason != "malformed" {
		t.Errorf("got %+v", verdict)
	}
	status("DeleteTrust of another version", c.DeleteTrust(ctx, "prod", made.Version), http.StatusPreconditionFailed)
	must("DeleteTrust", c.DeleteTrust(ctx, "prod", operator.AnyVersion))
	_, err = c.Probe(ctx, "a", api.NewProbe{})
	status("Probe without a URL", err, http.StatusConflict)
	_, err = operator.Collect(c.Probes(ctx))
	must("Probes", err)
	changes, err := c.Changes(ctx, 1, 3)
	if must("Changes", err); len(changes) != 3 || changes[0].Revision != 2 {
		t.Errorf("got %+v", changes)
	}
	_, err = c.Info(ctx)
	must("Info", err)
	if state, err := c.Ready(ctx); err != nil || state.Status != "ready" || len(state.Problems) > 0 {
		t.Errorf("Ready: %v, %v", state, err)
	}

	files := api.CallMapFiles{Files: []api.CallMapFile{{Name: "callmap.yaml", Text: "version: 1\nmanaged-by: all\nservices: {c: }\nrules: [{from: c, to: b}]\n"}}}
	plan, err := c.PlanCallMap(ctx, api.PlanCallMap{CallMapFiles: files, ReplayDays: new(1)})
	if must("PlanCallMap", err); len(plan.Changes) != 2 || plan.Replay == nil {
		t.Errorf("got %+v", plan)
	}
	_, err = c.PutShadow(ctx, files)
	must("PutShadow", err)
	_, err = c.ShadowReport(ctx, 1)
	must("ShadowReport", err)
	_, err = c.DeleteShadow(ctx)
	must("DeleteShadow", err)
	applied, err := c.ApplyCallMap(ctx, api.ApplyCallMap{CallMapFiles: files, Reason: "a test"})
	must("ApplyCallMap", err)
	history, err := c.CallMapHistory(ctx, 0, 10)
	if must("CallMapHistory", err); len(history) != 1 || history[0].Reason != "a test" {
		t.Errorf("got %+v", history)
	}
	_, err = c.AppliedCallMap(ctx, applied.Revision)
	must("AppliedCallMap", err)
	_, err = c.RollbackCallMap(ctx, applied.Revision, api.RollbackCallMap{})
	must("RollbackCallMap", err)
	document, err := c.ExportCallMap(ctx, "all")
	if must("ExportCallMap", err); !strings.Contains(document.Files[0].Text, "{from: c, to: b}") {
		t.Errorf("got %+v", document)
	}

	e, err := c.Explain(ctx, api.Question{Caller: "a", Target: "b", Scopes: []string{"write"}})
	if must("Explain", err); e.Allowed || e.Reason != "scope_not_granted" {
		t.Errorf("got %+v", e)
	}
	_, err = c.Decision(ctx, jti)
	status("Decision that there is not", err, http.StatusNotFound)
	blast, err := c.Blast(ctx, "a")
	if must("Blast", err); blast.Direct != 1 {
		t.Errorf("got %+v", blast)
	}
	graph, err := c.Graph(ctx, "a", "b")
	if must("Graph", err); graph.RuleCount != 1 {
		t.Errorf("got %+v", graph)
	}
	_, err = c.Unused(ctx, 1)
	must("Unused", err)
	_, err = c.Suggestion(ctx, 1)
	must("Suggestion", err)
	for _, of := range []operator.ImpactOf{{Caller: "a", Target: "b"}, {Key: signing[0].ID}, {Credential: issued.Credential.ID}} {
		_, err = c.Impact(ctx, of, 1)
		must("Impact", err)
	}
	must("DeleteRule", c.DeleteRule(ctx, "a", "b", operator.AnyVersion))
	must("DeleteService", c.DeleteService(ctx, "a", s.Version))

	for _, operation := range operations(t) {
		pattern := regexp.MustCompile("^" + parameter.ReplaceAllString(regexp.QuoteMeta(operation), "[^/]+") + "$")
		if !slices.ContainsFunc(asked, pattern.MatchString) {
			t.Errorf("no method of Client asks for %s", operation)
		}
	}
}
